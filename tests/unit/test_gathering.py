"""How calls are gathered: first the decisions alone, then with threads and a write that a test holds up."""

from __future__ import annotations

import contextvars
import ctypes
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pymongo
import pytest

from mongoq.api.buffer import Buffer
from mongoq.api.gathering.calls import MOST_BYTES, MOST_CALLS, Call, Gathering
from mongoq.api.gathering.gatherer import Gatherer
from mongoq.api.gathering.turn import Turn, wake
from mongoq.core.clock import FrozenClock
from mongoq.core.errors import IndexMissing, InvalidTask, QueueClosed, StorageRefused, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.core.tasks.new_task import NewTask
from mongoq.hooks.attached import Hooks
from mongoq.storage.commands import InsertOne
from mongoq.storage.context import Context
from mongoq.storage.control import Hello, ListIndexes
from mongoq.storage.documents.drafting import CHUNK, draft
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.steps import Stepper
from mongoq.storage.refusals import PartlyWritten

Until = Callable[..., None]
LIMIT: contextvars.ContextVar[int] = contextvars.ContextVar("limit", default=0)


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


class Writes(BlockingDriver):
    """A server of which a test decides when, and how, it answers."""

    def __init__(self) -> None:
        super().__init__(Connection(SimpleNamespace()), Stepper(FrozenClock()))
        self.sizes: list[int] = []
        self.answer = threading.Event()
        self.replies: dict[int, BaseException] = {}
        """By the size of a write."""
        self.limits: list[int] = []

    def _call(self, command: Any, session: Any) -> Any:  # noqa: ARG002 -- the driver's own signature
        if isinstance(command, ListIndexes):
            raise IndexMissing("the index of unique values")
        size = 1 if isinstance(command, InsertOne) else len(command.bodies)
        self.sizes.append(size)
        self.limits.append(LIMIT.get())
        assert self.answer.wait(60)
        if size in self.replies:
            raise self.replies[size]


@pytest.fixture
def writes() -> Iterator[Writes]:
    writes = Writes()
    yield writes
    writes.answer.set()


@pytest.fixture
def gatherer(context: Context, writes: Writes) -> Gatherer:
    base: Any = SimpleNamespace(
        context=context,
        driver=writes,
        send=lambda op: op,
        check_accepting=lambda: None,
        hooks=Hooks(Telemetry()),
        telemetry=Telemetry(),
        rooms=None,
    )
    return Gatherer(base, 5.0)


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
    errors = [future.exception(10) for future in asked]
    assert isinstance(errors[2], StorageRefused)
    assert [error for error in errors if error] == [errors[2]]


def test_a_lost_server_is_told_to_all_and_to_each_by_an_error_of_its_own(ask: Any, writes: Writes) -> None:
    asked = ask({}, {}, {"key": "mine"})
    writes.replies[3] = StorageUnavailable("gone", ambiguous=True)
    writes.answer.set()
    errors = [future.exception(10) for future in asked]
    assert errors[0] is None
    assert all(isinstance(error, StorageUnavailable) and error.ambiguous for error in errors[1:])
    assert len({id(error) for error in errors[1:]}) == 3
    assert errors[3].__notes__ == ["key of the task that may exist: mine"]


def test_a_missing_index_of_unique_values_concerns_those_alone_that_have_one(ask: Any, writes: Writes) -> None:
    asked = ask({}, {"unique": "a"}, {})
    writes.answer.set()
    errors = [future.exception(10) for future in asked]
    assert isinstance(errors[2], IndexMissing)
    assert [error for error in errors if error] == [errors[2]]
    assert writes.sizes == [1, 2]


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
        assert isinstance(gone.exception(10), ZeroDivisionError)
        assert [future.result(60).tags for future in others] == [{"n": 2}]


def test_a_writer_that_is_interrupted_leaves_nobody_waiting(
    ask: Any, buffer: Buffer, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    asked = ask({}, {}, {})
    writes.replies[3] = KeyboardInterrupt()
    writes.answer.set()
    _, *others = [future.exception(10) for future in asked]
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


def test_the_end_waits_for_one_failure_and_not_for_that_of_each_group(
    gatherer: Gatherer, writes: Writes, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "mongoq.api")
    futures = [gatherer.submit(NewTask())]
    until(lambda: writes.sizes)
    futures += [gatherer.submit(NewTask()) for _ in range(CHUNK + 1)]
    writes.replies = {1: StorageUnavailable("gone"), CHUNK: StorageUnavailable("gone")}
    closing = threading.Thread(target=lambda: writes.run(gatherer.close()))
    closing.start()
    until(lambda: gatherer._gathering.closed)
    writes.answer.set()
    closing.join(60)
    assert writes.sizes == [1]
    assert all(isinstance(future.exception(10), StorageUnavailable) for future in futures)
    assert "1 submitted tasks were not enqueued: gone" in caplog.text


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


def test_a_submitted_task_is_written_beside_its_caller(gatherer: Gatherer, writes: Writes, until: Until) -> None:
    first = gatherer.submit(NewTask({"n": 0}))
    until(lambda: writes.sizes)
    others = [gatherer.submit(NewTask({"n": number})) for number in range(1, 4)]
    assert not first.done()
    assert others[1].cancel()
    assert not first.cancel(), "it has gone"
    writes.answer.set()
    assert [future.result(60).tags["n"] for future in (first, others[0], others[2])] == [0, 1, 3]
    assert writes.sizes == [1, 2]


def test_submit_waits_for_room(
    gatherer: Gatherer, writes: Writes, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mongoq.api.gathering.calls.MOST_CALLS", 2)
    gatherer.submit(NewTask())
    until(lambda: writes.sizes)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            gatherer.submit(NewTask())
        waits = pool.submit(gatherer.submit, NewTask({"n": 3}))
        until(lambda: gatherer._watching)
        assert not waits.done()
        writes.answer.set()
        assert waits.result(60).result(60).tags == {"n": 3}


def test_a_thread_that_cannot_be_started_is_told_to_the_call(
    gatherer: Gatherer, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(writes, "beside", refuse)
    with pytest.raises(StorageUnavailable, match="can't start new thread"):
        gatherer.submit(NewTask()).result(60)
    monkeypatch.undo()
    writes.answer.set()
    assert gatherer.submit(NewTask({"n": 1})).result(60).tags == {"n": 1}


class Measured(FrozenClock):
    """A clock that is behind by an hour until it is measured."""

    wanted = True

    def wants_measuring(self) -> bool:
        return self.wanted

    def measured(self, server: Any, sent: float, received: float) -> None:  # noqa: ARG002 -- as every clock
        self.wanted = False
        self.advance(3600)


def test_what_was_drafted_before_the_clock_was_measured_is_dated_anew_and_stays_in_order(
    context: Context, writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Measured()
    context = dataclasses.replace(context, clock=clock)
    writes.stepper = Stepper(clock)
    answer = writes._call
    monkeypatch.setattr(
        writes,
        "_call",
        lambda command, session: {"localTime": None} if isinstance(command, Hello) else answer(command, session),
    )
    base: Any = SimpleNamespace(
        context=context,
        driver=writes,
        send=lambda op: op,
        check_accepting=lambda: None,
        hooks=Hooks(Telemetry()),
        telemetry=Telemetry(),
        rooms=None,
    )
    gatherer, before = Gatherer(base), clock.now()
    early = [gatherer.submit(NewTask()) for _ in range(3)]
    writes.answer.set()
    tasks = [future.result(60) for future in early]
    late = gatherer.submit(NewTask()).result(60)
    assert all(before + timedelta(seconds=3590) <= task.run_at <= late.run_at for task in tasks)
    assert all(task.created_at == task.run_at for task in tasks)
    keys = [task.key for task in (*tasks, late)]
    assert keys == sorted(keys)
