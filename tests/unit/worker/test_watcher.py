from __future__ import annotations

import threading

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.events import Telemetry
from mongoq.core.lifecycle import TaskState
from mongoq.worker.services.watcher import LINGER, Waker


class Stream:
    """A stream that breaks off when it is asked for news."""

    def __init__(self) -> None:
        self.open = False

    def begin(self) -> None:
        self.open = True

    def wait(self) -> TaskState | None:
        self.open = False
        return None

    def end(self) -> None:
        self.open = False


@pytest.fixture
def looks() -> list[str]:
    """What was looked for, in order."""
    return []


@pytest.fixture
def waker(looks: list[str]) -> Waker:
    return Waker(
        Stream(),
        news=lambda: looks.append("news"),
        ready=lambda: looks.append("ready"),
        scheduled=lambda: looks.append("scheduled"),
        telemetry=Telemetry(),
    )


def test_whatever_came_while_no_stream_stood_is_looked_for_when_one_does(waker: Waker, looks: list[str]) -> None:
    waker.idle(True)
    waker.step()
    assert looks == ["ready", "scheduled"]
    waker.step()
    assert looks == ["ready", "scheduled"] * 2, "it broke off, and another one was opened"


def test_scheduled_tasks_are_looked_for_where_nobody_tells_of_them_any_more(
    waker: Waker, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = elapsed()
    monkeypatch.setattr("mongoq.worker.services.watcher.elapsed", lambda: now)
    monkeypatch.setattr(threading.Event, "wait", lambda event, timeout=None: event.is_set())
    waker.idle(True)
    waker.step()
    waker.idle(False)
    now += LINGER
    looks.clear()
    waker.step()
    waker.step()
    assert looks == ["scheduled"], "once: the sweeper then looks often by itself"
