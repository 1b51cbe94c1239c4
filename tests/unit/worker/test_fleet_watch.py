"""When a worker keeps a change stream, and what it does with its news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.fleet import Idle
from mongoq.core.lifecycle import TaskState
from mongoq.storage.context import Context
from mongoq.storage.operations.watch import NO_STREAMS, News
from mongoq.worker.fleet.caller import FLOOD, Caller
from mongoq.worker.fleet.view import FleetView, Part
from mongoq.worker.fleet.watch import FleetWatch
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake

OPENED = [Wake.WORK, Wake.SCHEDULED]


class Stream:
    """A stream that brings what it is told, and breaks off at the end."""

    def __init__(self) -> None:
        self.open = False
        self.brings: list[News] = []
        self.refuses: Exception | None = None
        self.opened: list[tuple[tuple[str, ...], bool]] = []

    def watch(self, queues: Sequence[str], *, for_all: bool) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.open = True
        self.opened.append((tuple(queues), for_all))

    def wait(self) -> News | None:
        news = self.brings.pop(0) if self.brings else None
        self.open = news is not None
        return news

    def end(self) -> None:
        self.open = False


class Watching:
    """A process that watches for one queue."""

    def __init__(self, context: Context, script: Any) -> None:
        self.wakes: list[Wake] = []
        self.stream = Stream()
        runtime = Runtime(context, script, "w", Telemetry(), self.wakes.append)
        self.view = FleetView("w", ("a",), 1, place=50, part=Part.WATCHING, idle=True)
        self.caller = Caller(runtime, self.view, calm=lambda: None, wake=lambda: None)
        self.watch = FleetWatch(runtime, self.view, self.stream, self.caller)

    def step(self, *states: TaskState) -> float | None:
        self.stream.brings = [News(state, "k", "a") for state in states]
        return self.watch.step(0)


@pytest.fixture
def watching(context: Context, script: Any) -> Watching:
    return Watching(context, script)


SLEEPER = Idle("s", 60, ("b",), 1, watching=False)
WATCHER = Idle("v", 40, ("a",), 1, watching=True)


def test_whatever_came_while_no_stream_stood_is_looked_for_when_one_does(watching: Watching) -> None:
    watching.step()
    assert watching.wakes == OPENED
    watching.step()
    assert watching.wakes == OPENED * 2, "it broke off, and another one was opened"


def test_news_of_a_task_wakes_at_once_and_a_scheduled_one_the_sweeper(watching: Watching) -> None:
    watching.step(TaskState.SCHEDULED)
    assert watching.wakes == [*OPENED, Wake.SCHEDULED]
    watching.step(TaskState.READY)
    assert watching.wakes[3:] == [Wake.NEWS]


def test_a_process_that_sleeps_or_works_keeps_no_stream(watching: Watching) -> None:
    watching.step(TaskState.SCHEDULED)
    watching.view.part = Part.SLEEPING
    assert (watching.step(), watching.stream.open) == (None, False)
    assert watching.wakes[-1] is Wake.SCHEDULED, "nobody tells of scheduled tasks any more"
    assert watching.view.covers == ()


def test_a_busy_process_keeps_its_stream_and_reads_it_only_where_there_are_others_to_call(watching: Watching) -> None:
    watching.step(TaskState.SCHEDULED)
    watching.view.idle = False
    assert (watching.step(TaskState.READY), watching.stream.open) == (None, True)
    watching.view.others = [WATCHER, Idle("s", 60, ("a",), 1, watching=False)]
    assert (watching.step(TaskState.READY), watching.stream.brings) == (0, [])


def test_the_stream_tells_of_the_queues_of_all_who_sleep(watching: Watching) -> None:
    watching.step(TaskState.SCHEDULED)
    watching.view.others = [WATCHER, SLEEPER]
    watching.step(TaskState.SCHEDULED)
    watching.step(TaskState.SCHEDULED)
    assert [queues for queues, _ in watching.stream.opened] == [("a",), ("a", "b")]
    assert watching.view.covers == ("a", "b")
    watching.view.others = [WATCHER]
    watching.step(TaskState.SCHEDULED)
    assert len(watching.stream.opened) == 2, "more than is needed does no harm"


def test_tags_and_names_are_left_to_the_server_only_where_there_is_nobody_else(watching: Watching) -> None:
    watching.step(TaskState.SCHEDULED)
    watching.view.others = [WATCHER]
    watching.step(TaskState.SCHEDULED)
    assert [for_all for _, for_all in watching.stream.opened] == [False, True]


def test_a_flood_of_news_closes_the_stream(watching: Watching) -> None:
    watching.view.others = [WATCHER, Idle("s", 60, ("a",), 1, watching=False)]
    for _ in range(FLOOD):
        watching.step(TaskState.READY)
    assert (watching.step(TaskState.READY), watching.stream.open) == (None, False)


def test_a_standalone_server_is_asked_for_a_stream_once(watching: Watching) -> None:
    watching.stream.refuses = StorageRefused("no change streams here", code=max(NO_STREAMS))
    assert watching.step() is None
    watching.stream.refuses = AssertionError("asked again")
    assert (watching.step(), watching.wakes) == (None, [])


@pytest.mark.parametrize("error", [StorageUnavailable("gone"), StorageRefused("not allowed", code=13)])
def test_any_other_error_is_for_the_loop_which_tries_again(watching: Watching, error: Exception) -> None:
    watching.stream.refuses = error
    with pytest.raises(type(error)):
        watching.step()
    watching.stream.refuses = None
    watching.step(TaskState.SCHEDULED)
    assert watching.stream.open
