"""What a process tells of itself, and when it watches, sleeps or hands over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.events import Telemetry
from mongoq.core.fleet import Idle, Signal, SignalKind
from mongoq.storage.context import Context
from mongoq.storage.operations.fleet.heartbeat import Look
from mongoq.worker.fleet.presence import (
    BEAT_EVERY,
    BEAT_EVERY_IDLE,
    BUSY_AFTER,
    DEPUTY_LOOKS_EVERY,
    FEW,
    LINGER,
    LOOK_AGAIN,
    MANY,
    Presence,
)
from mongoq.worker.fleet.view import FleetView, Part
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Wake


def other(place: int, *, watching: bool = False, queues: tuple[str, ...] = ("default",)) -> Idle:
    return Idle(f"w{place}", place, queues, 1, watching=watching)


class Present:
    """A process at place 50, and what the heartbeats of the others say."""

    def __init__(self, runtime: Runtime, script: Any, timer: Any) -> None:
        self.script, self.timer = script, timer
        self.view = FleetView("w", ("default",), 1, place=50, settled=True, tailing=True)
        self.changes: list[Part] = []
        self.wakes: list[Wake] = []
        runtime = replace(runtime, wake=self.wakes.append)
        self.presence = Presence(runtime, self.view, dict, lambda: self.changes.append(self.view.part))
        self.ledger = runtime.ledger

    def see(self, *idle: Idle, alone: bool = False) -> None:
        self.script.always("read_others", Look(list(idle), alone=alone, time=None))

    def step(self, seconds: float = 0.0, *, idle: bool = True) -> float:
        now = self.timer.advance(seconds)
        if self.view.idle and not idle:
            self.view.busy_since = now
        self.view.idle = idle
        return self.presence.step(now)

    def has(self, part: Part) -> bool:
        """Whether this is its part now."""
        return self.view.part is part

    @property
    def told(self) -> list[tuple[bool, bool]]:
        """What each beat said: idle, watching."""
        return [(beat["facts"]["idle"], beat["facts"]["watching"]) for beat in self.script.of("beat")]

    @property
    def signals(self) -> list[Signal]:
        return [sent["signal"] for sent in self.script.of("send")]

    @property
    def looks(self) -> list[int]:
        return [look["most"] for look in self.script.of("read_others")]


@pytest.fixture
def present(runtime: Runtime, script: Any, timer: Any) -> Present:
    return Present(runtime, script, timer)


def test_a_process_that_is_alone_watches_and_tells_nobody_in_a_hurry(present: Present) -> None:
    present.see(alone=True)
    present.step()
    assert (present.has(Part.WATCHING), present.changes) == (True, [Part.WATCHING])
    assert present.told == [(False, False), (True, False)], "the first beat, and one before the first look"
    assert 0.9 * BEAT_EVERY_IDLE <= present.step() <= BEAT_EVERY_IDLE
    present.step(BEAT_EVERY_IDLE)
    assert present.told[2:] == [(True, True)]


def test_one_of_the_first_watches_and_says_so_at_once(present: Present) -> None:
    present.see(other(60), other(70))
    present.step()
    assert present.has(Part.WATCHING)
    assert present.told[-1] == (True, True)


def test_a_new_watcher_looks_again_soon_and_gives_way_where_there_are_too_many(present: Present) -> None:
    present.see(other(60))
    present.step()
    assert present.has(Part.WATCHING)
    present.see(other(10, watching=True), other(20, watching=True))
    present.step(LOOK_AGAIN)
    assert present.looks == [FEW, MANY]
    assert (present.has(Part.SLEEPING), present.told[-1]) == (True, (True, False))


def test_where_others_watch_it_sleeps_and_beats_rarely(present: Present) -> None:
    present.see(other(10, watching=True), other(20, watching=True), other(30))
    present.step()
    assert present.has(Part.SLEEPING)
    commands = len(present.script.calls)
    for _ in range(600):
        present.step(0.1)
    sent = present.script.names[commands:]
    assert sent.count("beat") in (6, 7)
    assert sent.count("read_others") == sent.count("beat"), "one with each beat: it brings the server's time"
    assert set(sent) == {"beat", "read_others"}


def test_the_next_to_watch_looks_more_often(present: Present) -> None:
    present.see(other(10, watching=True), other(60))
    present.step()
    assert present.has(Part.SLEEPING)
    assert present.step() == pytest.approx(DEPUTY_LOOKS_EVERY)
    assert present.wakes == [Wake.WORK], "its next poll may be far away"
    present.see(other(60))
    present.step(DEPUTY_LOOKS_EVERY)
    assert present.has(Part.WATCHING), "the watcher is gone"


def test_a_signal_makes_it_look_at_once(present: Present) -> None:
    present.see(other(10, watching=True), other(20, watching=True), other(30))
    present.step()
    present.see(other(60))
    present.step(0.1)
    assert present.has(Part.SLEEPING)
    present.presence.ask()
    present.step(0.1)
    assert present.has(Part.WATCHING)


def test_a_watcher_that_is_busy_for_a_while_hands_over_to_the_first_sleeper(present: Present) -> None:
    present.see(other(70), other(60))
    present.step()
    assert present.step(0.01, idle=False) == pytest.approx(BUSY_AFTER)
    assert present.has(Part.WATCHING), "it goes on watching for the others"
    present.step(BUSY_AFTER, idle=False)
    assert (present.has(Part.NONE), present.told[-1]) == (True, (False, False))
    assert present.signals == [Signal(SignalKind.WATCH, 60, 60, count=1)]


def test_short_work_changes_nothing(present: Present) -> None:
    present.see(other(60))
    present.step()
    commands = len(present.script.calls)
    for _ in range(10):
        present.step(0.01, idle=False)
        present.step(BUSY_AFTER / 2, idle=True)
        present.step(0.01, idle=False)
    assert (present.has(Part.WATCHING), present.script.names[commands:]) == (True, ["read_others"])


def test_a_watcher_without_sleepers_lingers_and_tells_nobody(present: Present) -> None:
    present.see(alone=True)
    present.step()
    commands = len(present.script.calls)
    present.step(0.01, idle=False)
    present.step(BUSY_AFTER, idle=False)
    assert present.has(Part.WATCHING)
    present.step(LINGER, idle=False)
    assert (present.has(Part.NONE), len(present.script.calls)) == (True, commands)


def test_a_sleeper_that_works_sends_nothing_until_its_next_beat(present: Present) -> None:
    present.see(other(10, watching=True), other(20, watching=True), other(30))
    present.step()
    commands = len(present.script.calls)
    present.step(0.1, idle=False)
    present.step(LINGER, idle=False)
    assert (present.has(Part.NONE), len(present.script.calls)) == (True, commands)


def test_who_can_neither_call_nor_be_called_watches_for_itself_and_is_none_of_the_fleet(present: Present) -> None:
    present.see(other(10, watching=True), other(20, watching=True))
    present.view.tailing = False
    for _ in range(40):
        present.step(1)
    assert present.has(Part.WATCHING)
    assert set(present.told) == {(False, False)}
    assert set(present.script.names) == {"beat"}
    present.view.tailing = True
    present.presence.ask()
    present.step(0.1)
    assert (present.has(Part.SLEEPING), present.told[-1]) == (True, (True, False))


def test_a_process_whose_queue_no_watcher_hears_of_watches_by_itself(present: Present) -> None:
    elsewhere = [Idle(f"w{place}", place, ("else",), 1, watching=True) for place in (10, 20)]
    present.see(*elsewhere)
    present.step()
    assert present.has(Part.WATCHING)
    present.see(*(replace(one, covers=("default",)) for one in elsewhere))
    present.presence.ask()
    present.step(0.1)
    assert present.has(Part.SLEEPING)


def test_it_decides_nothing_until_it_is_known_whether_there_are_signals(present: Present) -> None:
    present.view.settled = False
    present.step()
    assert (present.has(Part.NONE), present.looks) == (True, [])


def test_a_look_sets_the_clock(
    make_context: Callable[..., Context], script: Any, timer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context()
    measured: list[Any] = []
    monkeypatch.setattr(type(context.clock), "measured", lambda _, *what: measured.append(what))
    present = Present(Runtime(context, script, "w", Telemetry(), elapsed=timer), script, timer)
    server = context.clock.now() + timedelta(seconds=5)
    script.always("read_others", Look([], alone=False, time=server))
    present.step()
    assert measured == [(server, timer.now, timer.now)]


def test_a_burst_beats_and_looks_at_nobody(runtime: Runtime, script: Any, timer: Any) -> None:
    present = Present(runtime, script, timer)
    present.presence = Presence(runtime, present.view, dict, lambda: None, listens=False)
    for _ in range(60):
        present.step(1.0)
    assert set(script.names) == {"beat"}
    assert len(script.of("beat")) in (6, 7)


def test_heartbeats_are_more_frequent_while_tasks_are_held(present: Present, make_attempt: Any, timer: Any) -> None:
    present.ledger.claim([make_attempt(timer.now)])
    for _ in range(600):
        present.step(0.1, idle=False)
    assert len(present.told) in (12, 13, 14)
    assert BEAT_EVERY < BEAT_EVERY_IDLE


def test_a_watcher_that_leaves_has_another_one_watch(present: Present) -> None:
    present.see(other(60), other(70))
    present.step()
    present.presence.leave()
    assert present.script.names[-2:] == ["leave", "send"]
    assert present.signals == [Signal(SignalKind.WATCH, 60, 60, count=1)]
