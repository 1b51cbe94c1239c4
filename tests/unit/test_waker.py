from __future__ import annotations

from mongoq.lifecycle import TaskState
from mongoq.telemetry import Telemetry
from mongoq.work.waker import Waker


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


def test_whatever_came_while_no_stream_stood_is_looked_for_when_one_does() -> None:
    looks: list[str] = []
    waker = Waker(
        Stream(),
        news=lambda: looks.append("news"),
        ready=lambda: looks.append("ready"),
        scheduled=lambda: looks.append("scheduled"),
        telemetry=Telemetry(),
    )
    waker.idle(True)
    waker.step()
    assert looks == ["ready", "scheduled"]
    waker.step()
    assert looks == ["ready", "scheduled"] * 2, "it broke off, and another one was opened"
