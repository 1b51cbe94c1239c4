"""A step in the thread that brings the news, instead of the loop's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from mongoq.core.errors import StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.worker.services.loop import Health, Loop

Until = Callable[..., None]


class Service:
    """Notes in which thread each step was made, and returns or raises what a test wants."""

    def __init__(self) -> None:
        self.threads: list[str] = []
        self.outcomes: list[float | Exception | None] = []
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.opened.set()

    def step(self, _now: float) -> float | None:
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        assert self.opened.wait(60)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def loop(service: Service, until: Until) -> Iterator[Loop]:
    """Give a loop that rests after its first step."""
    loop = Loop("fetcher", service.step, Health(Telemetry()))
    loop.start()
    until(lambda: service.threads)
    until(lambda: not loop._stepping.locked())
    yield loop
    service.opened.set()
    loop.stop()
    assert loop.join(60)


OWN, HERE = "mongoq-fetcher", threading.current_thread().name


def test_a_step_is_made_here_and_the_loop_goes_on_resting(loop: Loop, service: Service) -> None:
    service.outcomes = [5.0]
    loop.step_here()
    assert service.threads == [OWN, HERE]


@pytest.mark.parametrize("outcome", [0.0, StorageUnavailable("gone"), ValueError("a bug")])
def test_what_is_to_follow_at_once_and_what_fails_is_left_to_the_loop(
    loop: Loop, service: Service, until: Until, outcome: float | Exception
) -> None:
    service.outcomes = [outcome]
    loop.step_here()
    until(lambda: len(service.threads) == 3)
    assert service.threads == [OWN, HERE, OWN]


def test_no_two_steps_are_made_at_once(loop: Loop, service: Service, until: Until) -> None:
    service.opened.clear()
    service.entered.clear()
    loop.wake()
    assert service.entered.wait(60)
    loop.step_here()
    assert service.threads == [OWN, OWN]
    service.opened.set()
    until(lambda: len(service.threads) == 3)
    assert service.threads[2] == OWN, "it was woken instead"


def test_the_end_of_a_loop_waits_for_a_step_that_is_made_elsewhere(loop: Loop, service: Service) -> None:
    service.opened.clear()
    service.entered.clear()
    elsewhere = threading.Thread(target=loop.step_here)
    elsewhere.start()
    assert service.entered.wait(60)
    loop.stop()
    assert not loop.join(0.01)
    service.opened.set()
    assert loop.join(60)
    elsewhere.join(60)
    loop.step_here()
    assert len(service.threads) == 2, "nothing is begun after the end"
