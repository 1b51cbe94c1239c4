"""The loops of a worker: fetch, finish, renew, sweep, watch. Each is a step that returns its own next delay."""
