"""The documents of batches."""
