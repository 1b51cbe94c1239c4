"""Functions that an application registers on a queue: event listeners, a lifespan of its workers, middleware."""
