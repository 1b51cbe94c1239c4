"""What a worker process writes of itself and of its queues, beside its tasks: see `mongoq.history`."""
