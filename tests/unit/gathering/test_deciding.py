"""What is gathered into one write, decided without threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from mongoq.api.gathering.calls import MOST_BYTES, MOST_CALLS, Call, Gathering
from mongoq.api.gathering.turn import Turn, wake
from mongoq.core.errors import QueueClosed
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.context import Context
from mongoq.storage.documents.drafting import CHUNK, draft


@pytest.fixture
def call(context: Context) -> Callable[..., Call]:
    """Give `call(payload=None, waited=True)`: a call that was not added."""

    def make(payload: Any = None, *, waited: bool = True) -> Call:
        return Call(draft(context, NewTask(payload=payload)), Future(), waited=waited)

    return make


def added(gathering: Gathering, *calls: Call) -> None:
    for one in calls:
        gathering.add(one)


def test_a_lone_call_is_written_by_itself_and_waits_for_nobody(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    for _ in range(3):
        assert gathering.begin_alone()
        gathering.end(1)
    only = call()
    gathering.add(only)
    assert not gathering.begin_alone()
    assert gathering.take(0) == [only]
    gathering.end(2)
    assert not gathering.begin_alone(), "those who were written together probably come together again"


def test_what_comes_while_one_is_written_is_gathered(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    assert gathering.begin_alone()
    first, second = call(), call()
    added(gathering, first, second)
    assert gathering.take(0) is None
    gathering.end(1)
    assert gathering.take(0) == [first, second]
    gathering.end(2)
    assert not gathering.busy


def test_a_group_waits_for_as_many_as_came_last_time_and_no_longer_than_the_delay(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    gathering.end(3)
    added(gathering, call(), call())
    assert gathering.take(100.0) == 5.0
    assert gathering.take(104.0) == 1.0
    gathering.add(call())
    assert len(gathering.take(104.0)) == 3  # type: ignore[arg-type]
    gathering.end(3)
    gathering.add(call())
    assert gathering.take(200.0) == 5.0
    assert len(gathering.take(206.0)) == 1, "the delay is over"  # type: ignore[arg-type]


def test_nobody_waits_for_calls_whose_callers_do_not_wait(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    added(gathering, *(call(waited=False) for _ in range(3)))
    assert len(gathering.take(0)) == 3  # type: ignore[arg-type]
    gathering.end(0)
    gathering.add(call(waited=False))
    assert len(gathering.take(0)) == 1  # type: ignore[arg-type]


def test_a_group_holds_1000_tasks_and_16_mib_in_their_order(call: Callable[..., Call]) -> None:
    gathering = Gathering(0)
    calls = [call(b"x" * 1_000_000) for _ in range(17)] + [call() for _ in range(CHUNK)]
    added(gathering, *calls)
    sizes = []
    gone: list[Call] = []
    while isinstance(group := gathering.take(0), list):
        sizes.append(len(group))
        gone += group
        gathering.end(0)
    assert sizes == [16, CHUNK, 1]
    assert gone == calls


def test_it_is_full_at_so_many_calls_or_bytes(call: Callable[..., Call]) -> None:
    by_count, by_bytes = Gathering(0), Gathering(0)
    one, large = call(), call(b"x" * 1_000_000)
    added(by_count, *[one] * (MOST_CALLS - 1))
    assert not by_count.full
    by_count.add(one)
    assert by_count.full
    added(by_bytes, *[large] * (MOST_BYTES // large.size))
    assert not by_bytes.full
    by_bytes.add(large)
    assert by_bytes.full
    by_bytes.take(0)
    assert not by_bytes.full


def test_one_that_is_closed_waits_for_nobody_and_takes_nobody(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    gathering.end(9)
    gathering.add(call())
    gathering.closed = True
    assert len(gathering.take(0)) == 1  # type: ignore[arg-type]
    for refused in (lambda: gathering.add(call()), gathering.begin_alone):
        with pytest.raises(QueueClosed):
            refused()


def test_threads_are_woken_one_after_the_other_past_those_that_have_left() -> None:
    lock = threading.Lock()
    turns = [Turn(lock) for _ in range(4)]
    for number, turn in enumerate(turns):
        turn.set_result(number)
    turns[1]._leave()  # interrupted before it was answered
    wake(turns, lock)
    assert [turn._woken for turn in turns] == [True, False, False, False]
    turns[0]._leave()  # interrupted after that, on its way
    assert [turn._woken for turn in turns] == [True, True, True, False]
    assert [turn.result() for turn in turns[2:]] == [2, 3]
