"""What an operation does where the usual way fails.

A reply is lost, a caller is interrupted, a document is malformed or held by a transaction, a unique value is taken:
each module handles one of these, and the operation that met it goes on.
"""
