"""Claiming without a worker: who waits for a task, keeps its lease, or waits for its end."""
