"""A task as a value: what is enqueued, what is read, what is changed, and what an attempt at it says."""
