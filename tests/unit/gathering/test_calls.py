"""Calls of threads that are gathered while a test holds up the write before."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pymongo
import pytest

from mongoq.api.buffer import Buffer
from mongoq.api.gathering.gatherer import Gatherer
from mongoq.core.errors import IndexMissing, InvalidTask, QueueClosed, StorageRefused, StorageUnavailable
from mongoq.storage.refusals import PartlyWritten
from tests.unit.gathering.writes import LIMIT, Writes

Until = Callable[..., None]


@pytest.fixture
def buffer(gatherer: Gatherer) -> Buffer:
    return Buffer(gatherer)


@pytest.fixture
def ask(buffer: Buffer, writes: Writes, until: Until) -> Iterator[Any]:
    """Give `ask(*options)`: the futures of a first call, whose write is held up, and of those that gather meanwhile."""
    with ThreadPoolExecutor(8) as pool:

        def start(*options: dict[str, Any]) -> list[Future[Any]]:
            asked = [pool.submit(buffer.new, {"n": 0})]
            until(lambda: writes.sizes)
            for number, given in enumerate(options, 1):
                asked.append(pool.submit(buffer.new, {"n": number}, **given))
                until(lambda number=number: gathered(buffer) == number)
            return asked

        yield start
        writes.answer.set()


def gathered(buffer: Buffer) -> int:
    return len(buffer._base._gathering._calls)


def test_calls_that_come_meanwhile_are_written_together(ask: Any, writes: Writes) -> None:
    asked = ask({}, {}, {})
    writes.answer.set()
    assert [future.result(60).tags for future in asked] == [{"n": number} for number in range(4)]
    assert writes.sizes == [1, 3]


def test_each_call_gets_its_own_error(ask: Any, writes: Writes) -> None:
    asked = ask({}, {}, {})
    writes.replies[3] = PartlyWritten({1: StorageRefused("the validator")})
    writes.answer.set()
    errors = [future.exception(60) for future in asked]
    assert isinstance(errors[2], StorageRefused)
    assert [error for error in errors if error] == [errors[2]]


def test_a_lost_server_is_told_to_all_and_to_each_by_an_error_of_its_own(ask: Any, writes: Writes) -> None:
    asked = ask({}, {}, {"key": "mine"})
    writes.replies[3] = StorageUnavailable("gone", ambiguous=True)
    writes.answer.set()
    errors = [future.exception(60) for future in asked]
    assert errors[0] is None
    assert all(isinstance(error, StorageUnavailable) and error.ambiguous for error in errors[1:])
    assert len({id(error) for error in errors[1:]}) == 3
    assert errors[3].__notes__ == ["key of the task that may exist: mine"]


def test_a_missing_index_of_unique_values_concerns_those_alone_that_have_one(ask: Any, writes: Writes) -> None:
    asked = ask({}, {"unique": "a"}, {})
    writes.answer.set()
    errors = [future.exception(60) for future in asked]
    assert isinstance(errors[2], IndexMissing)
    assert [error for error in errors if error] == [errors[2]]
    assert writes.sizes == [1, 2]


@pytest.mark.skipif(
    sys.gettrace() is not None and sys.version_info < (3, 12),
    reason="Python 3.11 stands still where a tracer, such as that of coverage, meets an exception from another thread",
)
def test_a_call_that_is_interrupted_while_it_waits_is_left_out(buffer: Buffer, writes: Writes, until: Until) -> None:
    with ThreadPoolExecutor(4) as pool:
        pool.submit(buffer.new)
        until(lambda: writes.sizes)
        ident: list[int] = []

        def ask() -> None:
            ident.append(threading.get_ident())
            buffer.new({"n": 1})

        gone = pool.submit(ask)
        until(lambda: gathered(buffer) == 1)
        others = [pool.submit(buffer.new, {"n": 2})]
        until(lambda: gathered(buffer) == 2)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident[0]), ctypes.py_object(ZeroDivisionError))
        writes.answer.set()
        assert isinstance(gone.exception(60), ZeroDivisionError)
        assert [future.result(60).tags for future in others] == [{"n": 2}]


def test_a_writer_that_is_interrupted_leaves_nobody_waiting(
    ask: Any, buffer: Buffer, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    asked = ask({}, {}, {})
    writes.replies[3] = KeyboardInterrupt()
    writes.answer.set()
    _, *others = [future.exception(60) for future in asked]
    assert all(isinstance(error, StorageUnavailable) and error.ambiguous for error in others)
    assert buffer.new({"n": 9}).tags == {"n": 9}


def test_the_end_waits_for_what_is_under_way(ask: Any, buffer: Buffer, writes: Writes, until: Until) -> None:
    asked = ask({}, {})
    closing = threading.Thread(target=lambda: writes.run(buffer._base.close()))
    closing.start()
    until(lambda: buffer._base._gathering.closed)
    with pytest.raises(QueueClosed):
        buffer.new()
    assert closing.is_alive()
    writes.answer.set()
    closing.join(60)
    assert not closing.is_alive()
    assert all(future.result(60) for future in asked)


def test_what_is_wrong_with_a_task_concerns_its_caller_alone(buffer: Buffer, writes: Writes) -> None:
    with pytest.raises(InvalidTask, match="priority"):
        buffer.new({"a": 1}, priority=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prioritty"):
        buffer.new({"a": 1}, prioritty=1)  # type: ignore[call-arg]
    assert writes.sizes == []
    assert not buffer._base.busy


def test_a_group_is_written_in_nobody_s_context(ask: Any, buffer: Buffer, writes: Writes) -> None:
    asked = ask({}, {})
    LIMIT.set(7)
    with pymongo.timeout(9):
        writes.answer.set()
        buffer.new()
    assert all(future.result(60) for future in asked)
    assert sorted(zip(writes.sizes, writes.limits, strict=True)) == [(1, 0), (1, 7), (2, 0)], (
        "a call with a time limit goes by itself, and keeps it"
    )
