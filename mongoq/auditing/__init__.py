"""Who did what: acts of operators, kept in `<namespace>.audit`.

An act is written before it begins, and closed when it has ended: one that was broken off stays open, with the count
that it had reached.
"""
