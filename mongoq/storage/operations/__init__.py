"""The operations on MongoDB, one file per verb: generators that yield commands and receive the replies."""
