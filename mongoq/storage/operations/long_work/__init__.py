"""Work that takes long: builds of indexes, long reads, acts on many tasks."""
