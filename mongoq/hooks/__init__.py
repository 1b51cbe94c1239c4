"""What an application hangs into a queue: listeners of its events, a lifespan of its workers, and middleware."""
