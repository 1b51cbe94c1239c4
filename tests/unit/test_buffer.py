"""How calls are grouped: first the decisions alone, then with threads and a write that a test holds up."""

from __future__ import annotations

import contextvars
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from mongoq.api.buffer import Buffer, Groups
from mongoq.api.gathering import Call, Gathering, Group
from mongoq.core.clock import FrozenClock
from mongoq.core.errors import InvalidTask, QueueClosed, StorageRefused, StorageUnavailable
from mongoq.core.new_task import NewTask
from mongoq.storage.commands import InsertOne
from mongoq.storage.context import Context
from mongoq.storage.drivers.blocking import BlockingDriver
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.operations.enqueue import CHUNK, draft
from mongoq.storage.refusals import PartlyWritten

Until = Callable[..., None]


@pytest.fixture
def call(context: Context) -> Callable[..., Call]:
    """Give `call(payload=None)`: a call that has not joined a group."""
    return lambda payload=None: Call(draft(context, NewTask(payload=payload)))


def written(gathering: Gathering, group: Group) -> None:
    assert gathering.patience(group, 0) == 0
    gathering.begin()
    gathering.end(group)


def test_a_lone_call_waits_for_nobody(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    for _ in range(3):
        written(gathering, gathering.join(call()))
    assert not gathering.busy


def test_a_group_waits_for_as_many_as_came_last_time_and_no_longer_than_the_delay(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    first = gathering.join(call())
    assert [gathering.join(call()) for _ in range(2)] == [first, first]
    written(gathering, first)

    group = gathering.join(call())
    gathering.join(call())
    assert gathering.patience(group, 100.0) == 5.0
    assert gathering.patience(group, 104.0) == 1.0
    assert gathering.patience(group, 106.0) == 0, "the delay is over"
    gathering.join(call())
    assert gathering.patience(group, 104.0) == 0, "all are there"


def test_the_delay_begins_with_the_end_of_the_write_before(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    first = gathering.join(call())
    gathering.join(call())
    gathering.begin()
    second = gathering.join(call())
    assert second is not first
    assert gathering.patience(second, 100.0) is None
    gathering.end(first)
    assert gathering.patience(second, 200.0) == 5.0


def test_a_full_group_waits_for_nobody_and_groups_go_in_order(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    first = gathering.join(call(b"x" * 1_000_000))
    assert all(gathering.join(call(b"x" * 1_000_000)) is first for _ in range(15)), "16 MiB hold 16 of them"
    second = gathering.join(call(b"x" * 1_000_000))
    assert second is not first
    assert gathering.patience(second, 0) is None
    written(gathering, first)
    assert gathering.patience(second, 0) == 5.0
    assert all(gathering.join(call()) is second for _ in range(CHUNK - 1))
    assert gathering.join(call()) is not second


def test_a_closed_buffer_waits_for_nobody_and_takes_nobody(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    first = gathering.join(call())
    gathering.join(call())
    written(gathering, first)
    last = gathering.join(call())
    gathering.closed = True
    assert gathering.busy
    written(gathering, last)
    with pytest.raises(QueueClosed):
        gathering.join(call())


def test_who_gives_up_leaves_the_lead_to_the_next(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    leader, follower, heir = call(), call(), call()
    group = gathering.join(leader)
    gathering.join(follower)
    gathering.join(heir)
    assert gathering.leave(group, follower) is None, "the leader is still there"
    assert gathering.leave(group, leader) is heir
    assert gathering.leave(group, heir) is None
    assert not gathering.busy


def test_nobody_leaves_a_group_that_has_gone(call: Callable[..., Call]) -> None:
    gathering = Gathering(5.0)
    leader, follower = call(), call()
    group = gathering.join(leader)
    gathering.join(follower)
    gathering.begin()
    assert gathering.leave(group, leader) is None
    assert group.calls == [leader, follower]


class Writes(BlockingDriver):
    """A server of which a test decides when, and how, it answers."""

    def __init__(self) -> None:
        super().__init__(Connection(SimpleNamespace()), FrozenClock())
        self.sizes: list[int] = []
        self.answer = threading.Event()
        self.replies: dict[int, BaseException] = {}
        """By the size of a write."""
        self.limits: list[int] = []

    def _call(self, command: Any, session: Any) -> None:  # noqa: ARG002 -- the driver's own signature
        size = 1 if isinstance(command, InsertOne) else len(command.bodies)
        self.sizes.append(size)
        self.limits.append(LIMIT.get())
        self.answer.wait(10)
        if size in self.replies:
            raise self.replies[size]


LIMIT: contextvars.ContextVar[int] = contextvars.ContextVar("limit", default=0)


@pytest.fixture
def writes() -> Writes:
    return Writes()


@pytest.fixture
def groups(context: Context, writes: Writes) -> Groups:
    base: Any = SimpleNamespace(context=context, driver=writes, send=lambda op: op, check_accepting=lambda: None)
    return Groups(base, 5.0)


@pytest.fixture
def buffer(groups: Groups) -> Buffer:
    return Buffer(groups)


@pytest.fixture
def ask(buffer: Buffer, writes: Writes, until: Until) -> Any:
    """Give `ask(count)`: the futures of a first call, whose write is held up, and of `count` that gather meanwhile."""
    with ThreadPoolExecutor(8) as pool:

        def start(count: int) -> list[Future[Any]]:
            asked = [pool.submit(buffer.new, {"n": 0})]
            until(lambda: writes.sizes)
            for number in range(1, count + 1):
                asked.append(pool.submit(buffer.new, {"n": number}))
                until(lambda number=number: gathered(buffer) == number)
            return asked

        yield start
        writes.answer.set()


def gathered(buffer: Buffer) -> int:
    return sum(len(group.calls) for group in buffer._base._gathering._groups)


def test_what_comes_during_a_write_is_one_write(ask: Any, writes: Writes) -> None:
    asked = ask(5)
    writes.answer.set()
    assert [future.result(10).tags for future in asked] == [{"n": number} for number in range(6)]
    assert writes.sizes == [1, 5]


def test_each_call_raises_its_own_error(ask: Any, writes: Writes) -> None:
    asked = ask(3)
    writes.replies[3] = PartlyWritten({1: StorageRefused("no", code=121)})
    writes.answer.set()
    errors = [future.exception(10) for future in asked]
    assert [type(error) for error in errors] == [type(None), type(None), StorageRefused, type(None)]


def test_a_lost_server_is_told_to_all_and_to_each_by_an_error_of_its_own(ask: Any, writes: Writes) -> None:
    asked = ask(3)
    writes.replies[3] = StorageUnavailable("gone", ambiguous=True)
    writes.answer.set()
    errors = [future.exception(10) for future in asked]
    assert errors[0] is None
    assert all(isinstance(error, StorageUnavailable) and error.ambiguous for error in errors[1:])
    assert len({id(error) for error in errors[1:]}) == 3


def test_a_leader_that_is_interrupted_in_its_write_leaves_nobody_waiting(ask: Any, writes: Writes) -> None:
    asked = ask(3)
    writes.replies[3] = KeyboardInterrupt()
    writes.answer.set()
    _, leader, *followers = [future.exception(10) for future in asked]
    assert isinstance(leader, KeyboardInterrupt)
    assert all(isinstance(error, StorageUnavailable) and error.ambiguous for error in followers)


def test_a_leader_that_is_interrupted_while_it_waits_is_followed_by_the_next(
    buffer: Buffer, writes: Writes, until: Until
) -> None:
    with ThreadPoolExecutor(4) as pool:
        pool.submit(buffer.new)
        until(lambda: writes.sizes)
        ident: list[int] = []

        def lead() -> None:
            ident.append(threading.get_ident())
            buffer.new({"n": 1})

        leader = pool.submit(lead)
        until(lambda: gathered(buffer) == 1)
        follower = pool.submit(buffer.new, {"n": 2})
        until(lambda: gathered(buffer) == 2)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident[0]), ctypes.py_object(ZeroDivisionError))
        writes.answer.set()
        assert isinstance(leader.exception(10), ZeroDivisionError)
        assert follower.result(10).tags == {"n": 2}
    assert writes.sizes == [1, 1]


def test_the_end_waits_for_what_is_under_way(ask: Any, buffer: Buffer, writes: Writes, until: Until) -> None:
    asked = ask(2)
    closing = threading.Thread(target=lambda: writes.run(buffer._base.close()))
    closing.start()
    until(lambda: buffer._base._gathering.closed)
    with pytest.raises(QueueClosed):
        buffer.new()
    assert closing.is_alive()
    writes.answer.set()
    closing.join(10)
    assert not closing.is_alive()
    assert all(future.result(10) for future in asked)


def test_what_is_wrong_with_a_task_concerns_its_caller_alone(buffer: Buffer, groups: Groups, writes: Writes) -> None:
    with pytest.raises(InvalidTask, match="priority"):
        buffer.new({"a": 1}, priority=1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prioritty"):
        buffer.new({"a": 1}, prioritty=1)  # type: ignore[call-arg]
    assert writes.sizes == []
    assert not groups._gathering.busy


def test_a_group_is_written_in_nobody_s_context(buffer: Buffer, writes: Writes) -> None:
    LIMIT.set(7)
    writes.answer.set()
    buffer.new()
    assert writes.limits == [0], "a session or time limit of the leader's is not the others'"
