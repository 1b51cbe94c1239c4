"""The errors that tell how a task ended: their kinds, their stories, and that they survive a pipe."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from mongoq import Failure, MaxRetriesExceeded, TaskCancelled, TaskError, TaskExpired, TaskFailed, TaskNotCompleted
from mongoq.core.judging.ended import error_of
from mongoq.testing import make_task

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ERROR = TaskError("ValueError", "no", "Traceback: in send\n", NOW, 3, "host:1:x")


@pytest.mark.parametrize(
    "fields, kind, story",
    [
        ({"state": "failed", "failure": Failure.EXHAUSTED, "attempts": 3, "errors": (ERROR,)}, MaxRetriesExceeded,
         "the task 'k' of 'default' has failed after 3 attempts: ValueError: no"),
        ({"state": "failed", "failure": Failure.HANDLER, "errors": (ERROR,)}, TaskFailed,
         "the task 'k' of 'default' has failed after 1 attempt: ValueError: no"),
        ({"state": "failed", "attempts": 0, "note": "not a task: no queue"}, TaskFailed,
         "the task 'k' of 'default' has failed after 0 attempts: not a task: no queue"),
        ({"state": "cancelled", "note": "no need"}, TaskCancelled, "the task 'k' of 'default' was cancelled: no need"),
        ({"state": "cancelled"}, TaskCancelled, "the task 'k' of 'default' was cancelled"),
        ({"state": "expired", "expires_at": NOW}, TaskExpired, f"the task 'k' of 'default' has expired at {NOW}"),
    ],
)  # fmt: skip
def test_the_error_of_a_task_tells_how_it_ended(fields: dict[str, object], kind: type, story: str) -> None:
    task = make_task(key="k", **fields)  # type: ignore[arg-type]
    error = error_of(task)
    assert error is not None
    assert (type(error), str(error), error.task, error.errors) == (kind, story, task, task.errors)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- of our own
    assert (type(again), str(again), again.task) == (kind, story, task)


def test_its_notes_hold_the_last_traceback() -> None:
    error = error_of(make_task(state="failed", errors=(ERROR,)))
    assert isinstance(error, TaskNotCompleted)
    assert error.__notes__ == ["Traceback: in send"]


@pytest.mark.parametrize("state", ["completed", "running", "ready", "scheduled"])
def test_a_task_that_completed_or_has_not_ended_has_none(state: str) -> None:
    assert error_of(make_task(state=state, failure=Failure.EXHAUSTED)) is None
