"""The document of a task: field names, encoding and decoding, filters, updates and indexes."""
