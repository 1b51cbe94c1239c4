"""The drivers over mongomock, for tests of an application: no server, one process, the same operations."""
