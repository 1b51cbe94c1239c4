"""A private mongod for development and tests: find it, start it, and make sure that it ends."""
