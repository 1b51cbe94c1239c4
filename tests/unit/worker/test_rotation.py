"""Which of many queues a claim asks for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from mongoq.core.requests import MOST_CLAIMED, ClaimRequest
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.namespace.heads import Head
from mongoq.worker.fleet.rotation import REST, SHARE, Rotation, chosen

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NOTHING = Claim([], more=False, lost=0)
FULL = Claim([], more=True, lost=0, found=400)


def head(number: int, priority: float = 0) -> Head:
    return Head(f"q{number}", priority, NOW + timedelta(seconds=number))


class Looks:
    """A runtime whose looks find what a test says, and take 0.1 s each."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.found: list[Head] = []
        self.count = 0
        self.context: Any = SimpleNamespace(gate=SimpleNamespace(pauses=()))

    def elapsed(self) -> float:
        return self.now

    def run(self, op: Any) -> list[Head]:
        op.close()
        self.count += 1
        self.now += 0.1
        return self.found


@pytest.fixture
def looks() -> Looks:
    return Looks()


@pytest.fixture
def make(looks: Looks) -> Callable[..., Rotation]:
    """Give `make(queues, **options)`: the rotation of a worker with so many queues."""

    def rotation(queues: int, **options: Any) -> Rotation:
        runtime: Any = looks
        return Rotation(runtime, ClaimRequest(tuple(f"q{n}" for n in range(queues)), "w", **options))

    return rotation


def test_the_most_urgent_heads_are_chosen_and_nothing_below_the_best_one_left_out() -> None:
    request = ClaimRequest(tuple(f"q{n}" for n in range(300)), "w")
    found = [head(n, 5) for n in range(60)] + [head(n, 3) for n in range(60, 150)]
    made = chosen(request, found, picky=False)
    assert made is not None
    assert made.queues == tuple(f"q{n}" for n in range(MOST_CLAIMED))
    assert made.least == 3
    whole = chosen(request, found[:MOST_CLAIMED], picky=False)
    assert whole is not None
    assert whole.least is None
    assert chosen(request, [], picky=False) is None


def test_who_leaves_tasks_alone_asks_for_any_priority() -> None:
    request = ClaimRequest(tuple(f"q{n}" for n in range(300)), "w")
    made = chosen(request, [head(n, 3) for n in range(150)], picky=True)
    assert made is not None
    assert made.least is None, "the heads may all be tasks that it does not take"


def test_a_worker_with_few_queues_never_looks(make: Callable[..., Rotation], looks: Looks) -> None:
    rotation = make(MOST_CLAIMED)
    asked = rotation.request(fresh=True)
    assert asked is not None
    assert len(asked.queues) == MOST_CLAIMED
    assert rotation.note(asked, NOTHING) is NOTHING
    assert looks.count == 0


def test_a_look_is_repeated_after_a_while_or_when_the_chosen_queues_are_empty(
    make: Callable[..., Rotation], looks: Looks
) -> None:
    rotation = make(300)
    looks.found = [head(1)]
    asked = rotation.request()
    assert asked is not None
    for _ in range(3):
        assert rotation.note(asked, FULL) is FULL
        rotation.request()
    assert looks.count == 1
    looks.now += SHARE
    rotation.request()
    assert looks.count == 2, "a look takes a twentieth of the time"

    assert rotation.request() is not None
    assert rotation.note(asked, NOTHING).more, "what it saw is old: it looks again"
    looks.found = []
    assert rotation.request() is None
    assert looks.count == 3


def test_there_is_more_while_queues_were_left_out(make: Callable[..., Rotation], looks: Looks) -> None:
    rotation = make(300)
    looks.found = [head(n) for n in range(MOST_CLAIMED + 1)]
    asked = rotation.request()
    assert asked is not None
    assert rotation.note(asked, NOTHING).more
    looks.found = [head(MOST_CLAIMED)]
    asked = rotation.request()
    assert asked is not None
    assert asked.queues == (f"q{MOST_CLAIMED}",)
    assert not rotation.note(asked, NOTHING).more, "another worker has it"


def test_queues_without_a_task_that_it_takes_rest_and_let_others_come(
    make: Callable[..., Rotation], looks: Looks
) -> None:
    rotation = make(300, names=("known",))
    looks.found = [head(n) for n in range(MOST_CLAIMED + 1)]
    asked = rotation.request()
    assert asked is not None
    assert rotation.note(asked, NOTHING).more
    asked = rotation.request()
    assert asked is not None
    assert asked.queues == (f"q{MOST_CLAIMED}",)
    assert not rotation.note(asked, NOTHING).more
    assert rotation.request() is None
    looks.now += REST
    assert rotation.request() is not None
