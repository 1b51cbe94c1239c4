"""What a watcher does with news: it tries itself, waits for its turn, or calls sleepers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mongoq.core.events import Telemetry
from mongoq.core.fleet import Idle, Signal, SignalKind, turn
from mongoq.core.lifecycle import TaskState
from mongoq.storage.context import Context
from mongoq.storage.operations.watch import News
from mongoq.worker.fleet.caller import CALL_TURN, FLOOD, LOOK_AGAIN, ROUNDS, TRIED_WITHIN, TURN, Caller
from mongoq.worker.fleet.view import FleetView, Part
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake


def key_of(first: str, watchers: list[str]) -> str:
    """A key of which this watcher is the first."""
    return next(key for key in map(str, range(100)) if turn(first, key, watchers) == 0)


def queue_of(first: str, watchers: list[str]) -> str:
    return next(f"q{n}" for n in range(100) if turn(first, f"q{n}", watchers) == 0)


class Called:
    """A watcher beside `w2`, with sleepers at 60, 70 and 80 that run two tasks each."""

    def __init__(self, context: Context, script: Any, timer: Any, queue: str = "default") -> None:
        self.script, self.timer, self.queue = script, timer, queue
        self.wakes: list[Wake] = []
        self.calm = 0
        runtime = Runtime(context, script, "w1", Telemetry(), self.wakes.append, timer)
        self.view = FleetView("w1", (queue,), 2, place=50, part=Part.WATCHING, idle=True)
        self.view.others = [Idle("w2", 40, (queue,), 2, watching=True), *map(self.sleeper, (60, 70, 80))]
        self.caller = Caller(runtime, self.view, calm=self._calm, wake=lambda: None)

    def sleeper(self, place: int) -> Idle:
        return Idle(f"s{place}", place, (self.queue,), 2, watching=False)

    def _calm(self) -> None:
        self.calm += 1

    def hear(self, key: str, queue: str | None = None, count: int = 1) -> None:
        for _ in range(count):
            self.caller.hear(News(TaskState.READY, key, queue or self.queue), self.timer.now)

    def step(self, seconds: float = 0.0) -> float | None:
        return self.caller.step(self.timer.advance(seconds))

    @property
    def signals(self) -> list[tuple[int, int, int]]:
        sent: list[Signal] = [one["signal"] for one in self.script.of("send")]
        assert all((one.kind, one.queues) == (SignalKind.WORK, (self.queue,)) for one in sent)
        return [(one.low, one.high, one.count) for one in sent]


MINE, ITS = key_of("w1", ["w1", "w2"]), key_of("w2", ["w1", "w2"])


@pytest.fixture
def called(make_context: Callable[..., Context], script: Any, timer: Any) -> Called:
    return Called(make_context(), script, timer, queue_of("w1", ["w1", "w2"]))


def test_the_first_watcher_tries_at_once_and_asks_nothing_where_it_got_all(called: Called) -> None:
    called.hear(MINE)
    assert called.wakes == [Wake.NEWS]
    called.caller.took([called.queue])
    assert called.step(TRIED_WITHIN) is None
    assert called.script.names == []


def test_the_next_watcher_tries_only_what_is_still_ready_after_its_turn(called: Called) -> None:
    called.hear(ITS)
    assert called.step() == pytest.approx(TURN)
    assert called.wakes == []
    assert called.step(TURN) is None
    assert (called.wakes, called.script.names) == ([], ["ready_count"]), "the first one had it"
    called.hear(ITS)
    called.script.always("ready_count", 1)
    called.step(TURN)
    assert called.wakes == [Wake.WORK]
    assert called.signals == [], "it takes it itself"


def test_as_many_sleepers_are_called_as_have_room_for_what_is_ready(called: Called) -> None:
    called.hear(MINE, count=5)
    called.script.reply("ready_count", 5)
    assert called.step(TRIED_WITHIN) == pytest.approx(LOOK_AGAIN)
    assert called.script.of("ready_count")[0]["most"] == 8, "no more than all of them can take"
    assert called.signals == [(60, 70, 2)], "two tasks are its own"


def test_the_others_are_called_where_the_first_did_not_come(called: Called) -> None:
    called.hear(MINE, count=5)
    called.script.always("ready_count", 5)
    called.step(TRIED_WITHIN)
    called.step(LOOK_AGAIN)
    assert called.signals == [(60, 70, 2), (80, 80, 1)]
    for _ in range(3 * ROUNDS):
        called.step(1)
    assert len(called.signals) == 2, "each is called once for the same tasks"
    assert called.step() is None, "nobody is left"


def test_calls_go_round_so_that_not_always_the_same_are_called(called: Called) -> None:
    called.view.idle = False
    for expected in ((60, 60, 1), (70, 70, 1), (80, 80, 1), (60, 60, 1)):
        called.script.reply("ready_count", 1)
        called.hear(MINE)
        called.step(1)
        called.step(1)
        assert called.signals[-1] == expected


def test_a_busy_watcher_does_not_try_and_calls(called: Called) -> None:
    called.view.idle = False
    called.hear(MINE)
    called.script.reply("ready_count", 1)
    called.step(TRIED_WITHIN)
    assert (called.wakes, called.signals) == ([], [(60, 60, 1)])


def test_a_task_of_a_queue_that_no_watcher_takes_is_called_for_at_once(called: Called) -> None:
    other = queue_of("w1", ["w1", "w2"])
    called.view.queues = ("elsewhere",)
    called.view.others[0] = Idle("w2", 40, ("elsewhere",), 2, watching=True)
    called.queue = other
    called.hear("k")
    called.script.reply("ready_count", 1)
    called.step()
    assert called.signals == [(60, 60, 1)]


def test_of_two_watchers_one_calls_and_the_other_only_what_is_left_after_its_turn(
    make_context: Callable[..., Context], script: Any, timer: Any
) -> None:
    called = Called(make_context(), script, timer, queue_of("w2", ["w1", "w2"]))
    called.view.queues = ("elsewhere",)
    called.hear("k")
    assert called.step() == pytest.approx(TRIED_WITHIN + CALL_TURN)


def test_news_that_tells_no_queue_is_looked_for_in_all_of_them(called: Called) -> None:
    called.view.others.append(Idle("s90", 90, ("else",), 1, watching=False))
    called.caller.hear(News(TaskState.READY, MINE, None), timer_now := called.timer.now)
    assert timer_now
    assert called.wakes == [Wake.NEWS]
    called.step(TRIED_WITHIN)
    assert {look["queue"] for look in called.script.of("ready_count")} == {called.queue, "else"}


def test_what_came_before_the_stream_is_looked_for_where_there_are_sleepers(called: Called) -> None:
    called.caller.look(called.timer.now)
    called.step()
    assert called.script.names == ["ready_count"]
    called.view.others = []
    called.caller.look(called.timer.now)
    called.step()
    assert called.script.names == ["ready_count"]


def test_a_process_that_is_alone_asks_nothing(called: Called) -> None:
    called.view.others = []
    called.hear(MINE)
    assert (called.wakes, called.step(1), called.script.names) == ([Wake.NEWS], None, [])


def test_after_a_flood_news_is_wanted_again_when_all_were_called(called: Called) -> None:
    called.hear(MINE, count=FLOOD)
    assert called.caller.flooded
    called.script.always("ready_count", 100)
    while called.caller.flooded:
        called.step(1)
    assert called.signals == [(60, 80, 3)]
    assert called.calm == 1


def test_a_task_of_a_name_that_the_watchers_do_not_know_is_for_those_who_do(called: Called) -> None:
    called.view.names = ("a",)
    others = called.view.others
    called.view.others = [replace(others[0], names=("a",)), replace(others[1], names=("a",)), others[2]]
    called.view.others.append(replace(others[3], names=("b",)))
    replies = {("a",): 0, (): 0, ("b",): 1}
    called.script.always("ready_count", lambda asked: replies[asked["names"]])
    called.caller.hear(News(TaskState.READY, "k", called.queue, "b"), called.timer.now)
    called.step(1)
    assert (called.wakes, called.signals) == ([], [(80, 80, 1)])
