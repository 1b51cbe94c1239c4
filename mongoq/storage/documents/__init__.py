"""The document of a task: its field names, how it is built and read, and the filters, updates and indexes over it."""
