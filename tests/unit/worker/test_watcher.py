"""Watching for work: the stream of an idle process, the poll below it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mongoq.core import clock
from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.lifecycle import TaskState
from mongoq.storage.context import Context
from mongoq.storage.operations.fleet import signals
from mongoq.storage.operations.sweep import Swept
from mongoq.storage.operations.watch import AWAIT, NO_STREAMS, News
from mongoq.worker.fleet import presence
from mongoq.worker.runtime import Runtime
from mongoq.worker.services import sweeper
from mongoq.worker.services.loop import Health
from mongoq.worker.services.watcher import (
    FIRST_POLL,
    LINGER,
    LONGEST_POLL,
    LONGEST_POLL_WATCHED,
    LONGEST_SPREAD,
    SPREAD,
    Poll,
    StreamWatch,
    WorkWatcher,
)
from mongoq.worker.stages import Wake

OPENED = [Wake.WORK, Wake.SCHEDULED]


class Stream:
    """A stream that brings what it is told, and breaks off at `None`."""

    def __init__(self) -> None:
        self.open = False
        self.brings: list[TaskState | None] = []
        self.refuses: Exception | None = None

    def begin(self) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.open = True

    def wait(self) -> News | None:
        state = self.brings.pop(0) if self.brings else None
        self.open = state is not None
        return News(state, "k", "default") if state else None

    def end(self) -> None:
        self.open = False


@pytest.fixture
def wakes() -> list[Wake]:
    """What was woken, in order."""
    return []


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def make_runtime(context: Context, wakes: list[Wake]) -> Callable[..., Runtime]:
    def run(operation: object) -> Swept:
        operation.close()  # type: ignore[attr-defined]
        return Swept(0, None)

    return lambda: Runtime(context, run, "w", Telemetry(), wakes.append)


@pytest.fixture
def watch(make_runtime: Callable[..., Runtime], stream: Stream) -> StreamWatch:
    return StreamWatch(make_runtime(), stream)


def test_whatever_came_while_no_stream_stood_is_looked_for_when_one_does(watch: StreamWatch, wakes: list[Wake]) -> None:
    watch.idle(idle=True)
    watch.step(0)
    assert wakes == OPENED
    watch.step(0)
    assert wakes == OPENED * 2, "it broke off, and another one was opened"


def test_a_process_that_is_not_idle_opens_no_stream(watch: StreamWatch, stream: Stream) -> None:
    assert (watch.step(0), stream.open) == (None, False), "it is woken when the process is idle"
    assert watch.idle(idle=True)
    assert not watch.idle(idle=True), "once is enough"


def test_news_of_a_task_wakes_at_once_and_a_scheduled_one_the_sweeper(
    watch: StreamWatch, stream: Stream, wakes: list[Wake]
) -> None:
    stream.brings = [TaskState.SCHEDULED, TaskState.READY]
    watch.idle(idle=True)
    watch.step(0)
    assert wakes == [*OPENED, Wake.SCHEDULED]
    watch.step(0)
    assert wakes[3:] == [Wake.NEWS]
    assert watch.step(0) == LINGER, "until the next empty claim it does not wait for more"


def test_a_busy_process_lets_go_of_its_stream_after_a_while(watch: StreamWatch, stream: Stream) -> None:
    stream.brings = [TaskState.SCHEDULED] * 9
    watch.idle(idle=True)
    watch.step(0)
    watch.idle(idle=False)
    assert (watch.step(100), stream.open) == (LINGER, True)
    assert watch.step(100 + LINGER / 2) == pytest.approx(LINGER / 2)
    assert (watch.step(100 + LINGER), stream.open) == (None, False)


def test_scheduled_tasks_are_looked_for_where_nobody_tells_of_them_any_more(
    watch: StreamWatch, stream: Stream, wakes: list[Wake]
) -> None:
    stream.brings = [TaskState.SCHEDULED]
    watch.idle(idle=True)
    watch.step(0)
    watch.idle(idle=False)
    wakes.clear()
    for now in (100, 100 + LINGER, 100 + 2 * LINGER):
        watch.step(now)
    assert wakes == [Wake.SCHEDULED], "once: the sweeper then looks often by itself"


def test_a_stopped_worker_lets_go_of_its_stream(watch: StreamWatch, stream: Stream, wakes: list[Wake]) -> None:
    stream.brings = [TaskState.SCHEDULED]
    watch.idle(idle=True)
    watch.step(0)
    watch.end()
    assert (stream.open, wakes[-1]) == (False, Wake.SCHEDULED)


def test_a_process_that_loses_races_for_news_holds_back_and_one_that_wins_does_not(
    watch: StreamWatch, stream: Stream, wakes: list[Wake]
) -> None:
    def race(*, won: bool) -> float | None:
        stream.brings = [TaskState.READY]
        wakes.clear()
        watch.idle(idle=True)
        delay = watch.step(0)
        if delay:
            assert Wake.NEWS not in wakes, "not yet"
            assert watch.step(0) == 0
        assert wakes[-1] is Wake.NEWS
        watch.idle(idle=not won)
        return delay

    assert race(won=False) == 0
    first = race(won=False)
    assert first is not None
    assert SPREAD / 2 <= first <= SPREAD
    for _ in range(10):
        race(won=False)
    last = race(won=True)
    assert last is not None
    assert LONGEST_SPREAD / 2 <= last <= LONGEST_SPREAD
    after = race(won=True)
    assert after is not None
    assert after <= LONGEST_SPREAD / 4


def test_a_standalone_server_is_asked_for_a_stream_once(watch: StreamWatch, stream: Stream, wakes: list[Wake]) -> None:
    stream.refuses = StorageRefused("no change streams here", code=max(NO_STREAMS))
    watch.idle(idle=True)
    assert watch.step(0) is None
    stream.refuses = AssertionError("asked again")
    assert (watch.step(0), wakes) == (None, [])


@pytest.mark.parametrize("error", [StorageUnavailable("gone"), StorageRefused("not allowed", code=13)])
def test_any_other_error_is_for_the_loop_which_tries_again(
    watch: StreamWatch, stream: Stream, error: Exception
) -> None:
    stream.refuses = error
    watch.idle(idle=True)
    with pytest.raises(type(error)):
        watch.step(0)
    stream.refuses, stream.brings = None, [TaskState.SCHEDULED]
    watch.step(0)
    assert stream.open


@pytest.mark.parametrize("longest", [LONGEST_POLL, LONGEST_POLL_WATCHED])
def test_polls_become_rarer_and_start_afresh(longest: float) -> None:
    poll = Poll()
    pauses = [poll.next(longest) for _ in range(20)]
    assert 1.8 * FIRST_POLL <= pauses[0] <= 2.2 * FIRST_POLL
    assert 0.9 * longest <= pauses[-1] <= 1.1 * longest
    poll.reset()
    assert poll.next(longest) <= 2.2 * FIRST_POLL


def test_nothing_is_swept_while_nobody_waits(make_runtime: Callable[..., Runtime], stream: Stream) -> None:
    resting = True
    watcher = WorkWatcher(
        make_runtime(), stream, Health(Telemetry()), lambda: None, prefix="test-", resting=lambda: resting
    )
    assert watcher._sweep(0) is None
    resting = False
    assert watcher._sweep(0) is not None
    assert sorted(loop.name for loop in watcher.loops.values()) == ["test-sweeper", "test-watcher"]


def test_an_idle_worker_sends_at_most_one_command_a_second() -> None:
    polls = [0.9 * LONGEST_POLL_WATCHED]
    sweeps = [0.75 * each for each in (sweeper.PROMOTE_EVERY_WATCHED, sweeper.RESCUE_EVERY, sweeper.EXPIRE_EVERY)]
    beats = [0.9 * presence.BEAT_EVERY_IDLE] * 2  # each with a look, which brings the server's time
    others = [AWAIT, signals.AWAIT, *beats]
    assert sum(1 / pause for pause in (*polls, *sweeps, *others)) <= 1
    assert presence.BEAT_EVERY_IDLE < clock.MEASURE_EVERY
