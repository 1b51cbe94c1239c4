"""What tasks raise, under Celery's names."""

from __future__ import annotations

from mongoq import Cancel, DeadlineExceeded, Fail, Retry

__all__ = ["Ignore", "MaxRetriesExceededError", "Reject", "Retry", "SoftTimeLimitExceeded"]

SoftTimeLimitExceeded = DeadlineExceeded
"""It is a BaseException here: `except Exception` lets it pass."""


class MaxRetriesExceededError(Exception):
    """`self.retry()` was called once more than `max_retries` allows, without an `exc` to raise in its place."""


class Ignore(Cancel):
    """End the task without a result; it is cancelled."""


class Reject(Fail):
    """End the task as failed."""
