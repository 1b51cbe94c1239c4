"""How a task stands, why it does not run, and which failures are alike."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mongoq import Constant, Exponential, Failure, Ladder, Linear, Pause, Task, TaskError, TaskState, WorkerInfo
from mongoq.cli.looking.describing import described
from mongoq.cli.output import jsonable
from mongoq.core.explaining.frames import folded
from mongoq.core.explaining.grouping import grouped
from mongoq.core.explaining.options import option_in_words
from mongoq.core.explaining.why import standing, why
from mongoq.core.judging.follow_up import FollowUp
from mongoq.testing import make_task

NOW = datetime(2026, 8, 1, 3, 0, tzinfo=UTC)
WORKER = WorkerInfo("host:7:ab", "host", 7, ("default",), 2, 0, (), NOW, NOW)


def error(kind: str = "TimeoutError", message: str = "no answer", minutes: int = 3) -> TaskError:
    return TaskError(kind, message, "", NOW - timedelta(minutes=minutes), 1, "host:7:ab")


def task(state: TaskState, **fields: Any) -> Task:
    return replace(make_task(state=state, now=NOW), **fields)


def test_a_ready_task_waits_for_the_first_cause() -> None:
    ready = task(TaskState.READY, name="welcome")
    pause = Pause(None, "welcome", "deploy", "ann", NOW, None)
    assert why(ready, [WORKER], [pause]) == "Paused: tasks named welcome is paused by ann (deploy)."
    assert standing(ready, [], []) == "No worker serves the queue 'default'."
    other = replace(WORKER, names=("charge",))
    assert standing(ready, [other], []) == "Unhandled: no worker of the queue 'default' takes the name 'welcome'."
    revised = replace(ready, name="welcome@2")
    assert "takes the name 'welcome@2'" in standing(revised, [replace(WORKER, names=("welcome",))], [])
    assert standing(ready, [replace(WORKER, seen_at=NOW - timedelta(seconds=40))], []).startswith("No worker serves")
    assert "2 slots" in standing(ready, [replace(WORKER, running=2)], [])
    assert standing(ready, [WORKER], []) == "It is ready: a worker takes it next."


def test_a_scheduled_task_tells_of_the_attempt_before() -> None:
    later = task(TaskState.SCHEDULED, run_at=NOW + timedelta(minutes=5), last_error=error())
    assert standing(later, [WORKER], []) == (
        "It is scheduled: it becomes ready at 2026-08-01 03:05:00 UTC; attempt 1 ended with TimeoutError: no answer."
    )


def test_a_running_task_tells_who_holds_it_and_what_is_odd_about_that() -> None:
    held = task(
        TaskState.RUNNING, worker="host:7:ab", started_at=NOW - timedelta(minutes=9), read_at=NOW,
        lease_until=NOW + timedelta(seconds=30), attempts=2,
    )  # fmt: skip
    assert why(held, [WORKER], []) is None
    assert standing(held, [WORKER], []) == "It runs on host:7:ab since 9 min, attempt 2."
    assert standing(held, [replace(WORKER, ahead=40)], []) == (
        "It runs on host:7:ab since 9 min, attempt 2; "
        "that worker has claimed 40 tasks ahead of its handlers: this may be one of them."
    )
    asked = replace(held, cancel_requested=True)
    assert standing(asked, [WORKER], []).endswith("attempt 2; it was asked to stop.")
    assert "sends no heartbeat" in standing(held, [], [])
    silent = replace(WORKER, seen_at=NOW - timedelta(seconds=40))
    assert "silent since 40 s" in standing(held, [silent], [])
    assert "its lease is over" in standing(replace(held, lease_until=NOW - timedelta(seconds=1)), [WORKER], [])


def test_a_parked_task_tells_which_limit_has_no_room() -> None:
    acme = Pause(None, None, "unpaid", "ann", NOW, None, "tenant", "acme")
    held = task(TaskState.PARKED, waits_for=acme.target.group)
    assert why(held, [], [acme]) == "Paused: tasks with tenant='acme' is paused by ann (unpaid)."
    assert why(held, [], []) == "Its pause has ended: the next sweep makes it ready."
    waits = task(TaskState.PARKED, waits_for="tenant:acme")
    assert why(waits, [], []) == "It is parked: the limit tenant has no room for 'acme'."
    assert why(replace(waits, waits_for="stripe"), [], []) == "It is parked: the limit stripe has no room."
    assert "waits for the end of its parents (a)" in standing(task(TaskState.PARKED, parents=("a",)), [], [])


def test_an_ended_task_tells_how_and_since_when() -> None:
    failed = task(
        TaskState.FAILED, finished_at=NOW - timedelta(hours=2), read_at=NOW, last_error=error(),
        failure=Failure.NOT_RETRIED,
    )  # fmt: skip
    assert standing(failed, [], []) == (
        "It has ended: it is failed (not retried) since 2 h; attempt 1 ended with TimeoutError: no answer."
    )


def test_failures_are_alike_but_for_numbers_and_quoted_values() -> None:
    kinds = [
        ("charge", "TimeoutError", "no answer from 10.0.0.1", 9),
        ("charge", "TimeoutError", "no answer from 10.0.0.27", 1),
        ("charge", "KeyError", "'card'", 5),
        ("charge", "KeyError", "'user'\nmore", 4),
        ("mail", "KeyError", "'user'", 2),
    ]
    tasks = [
        task(
            TaskState.FAILED,
            key=f"k{n}",
            name=name,
            finished_at=NOW - timedelta(minutes=ago),
            last_error=error(kind, text),
        )
        for n, (name, kind, text, ago) in enumerate(kinds)
    ]
    groups = grouped(tasks, by_name=True)
    assert [(group.kind, group.count, group.names, group.newest.key) for group in groups] == [
        ("TimeoutError", 2, {"charge"}, "k1"), ("KeyError", 2, {"charge"}, "k3"), ("KeyError", 1, {"mail"}, "k4"),
    ]  # fmt: skip
    assert groups[0].message == "no answer from 10.0.0.27"
    assert groups[0].last - groups[0].first == timedelta(minutes=8)
    assert [(group.kind, group.count) for group in grouped(tasks)] == [("KeyError", 3), ("TimeoutError", 2)]


TRACE = """Traceback (most recent call last):
  File "/app/.venv/lib/python3.11/site-packages/mongoq/worker/handlers.py", line 9, in call
    return function()
  File "/usr/lib/python3.11/asyncio/runners.py", line 9, in run
    return run()
  File "/app/shop/cards.py", line 3, in charge
    raise ValueError("no")
ValueError: no
"""


def test_frames_of_libraries_are_folded_unless_they_are_asked_for() -> None:
    assert [part.folded for part in folded(TRACE)] == [0, 2, 0]
    broken = task(TaskState.FAILED, last_error=replace(error(), traceback=TRACE))
    short, whole = ("\n".join(described(broken, frames=frames)) for frames in (False, True))
    assert "(2 frames of mongoq or libraries: --frames)" in short
    assert "handlers.py" not in short
    assert "handlers.py" in whole
    assert 'File "/app/shop/cards.py", line 3, in charge' in short


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("deadline", timedelta(minutes=90), "1h 30m"),
        ("deadline", None, "none"),
        ("max_retries", None, "any number"),
        ("max_retries", 3, "3"),
        ("lease", timedelta(seconds=0.25), "0.25s"),
        ("keep_failed", timedelta(days=7), "7d"),
        ("keep_completed", timedelta(0), "0s"),
        ("backoff", Constant(5), "5s after each failure"),
        ("backoff", Linear(60), "1m more after each failure"),
        ("backoff", Linear(timedelta(seconds=90), max=3600), "1m 30s more after each failure, at most 1h"),
        ("backoff", Exponential(1), "1s, then 2 times as long after each failure, at most 30m, less a random part"),
        ("backoff", Ladder([1, 60]), "1s, 1m, and so on with the last"),
        ("retry_on", ("KeyError", "OSError"), "KeyError, OSError"),
        ("on_complete", FollowUp("mail", "tell", 0, {}), "tell in mail"),
    ],
    ids=str,
)
def test_an_option_is_told_as_an_operator_reads_it(name: str, value: Any, words: str) -> None:
    assert option_in_words(name, value) == words
    policy = {name: value}
    lines = [line.split("  ") for line in described(task(TaskState.READY, policy=policy), frames=False)]
    assert [f"policy.{name.replace('_', ' ')}", words] in [[line[0], line[-1].strip()] for line in lines]
    assert "(" not in json.dumps(jsonable(task(TaskState.READY, policy=policy))["policy"])
