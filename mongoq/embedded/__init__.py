"""A private mongod for development and tests: find it, start it, and stop it with its last user."""
