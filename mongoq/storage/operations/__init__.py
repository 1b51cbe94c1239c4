"""What the queue does to MongoDB, one file per verb: generators that yield commands and are sent the replies."""
