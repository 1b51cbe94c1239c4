"""Everything that knows MongoDB.

What a queue does is written as *operations*: generators that yield commands and are sent MongoDB's replies. They hold
no connection and no lock, read no clock but the context's, and may be abandoned at any `yield`: at worst they leave
a lease that runs out. A driver runs them.

`operations` has one file or folder for each verb or subject. They are built from pure functions in `documents`: field
names, encoding and decoding, filters, updates, indexes. `drivers` does all I/O, and maps the errors of PyMongo to
those of `core/errors.py`.
"""
