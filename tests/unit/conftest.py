from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mongoq.core.clock import FrozenClock
from mongoq.core.host.keys import KeyMaker
from mongoq.core.judging.policy import Policy
from mongoq.core.lifecycle import TaskState
from mongoq.core.options import checked_options
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Command, Find, Op
from mongoq.storage.context import Context
from mongoq.storage.control import Transact
from mongoq.storage.documents.unread import Unread
from mongoq.worker.attempt import LiveAttempt

HELD = {"token": "token", "worker": "worker", "started_at": "started_at", "lease_until": "until"}
"""What a document has in its `hold`: the names in a task, and there."""

NOW = FrozenClock().now()


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
def make_context(clock: FrozenClock) -> Callable[..., Context]:
    """Give `make_context(**options)`: what an operation needs, at the frozen clock's time."""

    def make(*, max_age: float | None = None, max_task_bytes: int = 2**20, **policy: Any) -> Context:
        options = checked_options(
            namespace="ns",
            max_age=max_age,
            workers=2,
            grace=25,
            max_task_bytes=max_task_bytes,
            policy=policy,
        )
        return Context(clock, options, KeyMaker())

    return make


@pytest.fixture
def context(make_context: Callable[..., Context]) -> Context:
    return make_context()


@pytest.fixture
def make_document() -> Callable[..., dict[str, Any]]:
    """Give `make_document(**fields)`: a ready task as it lies in the collection."""

    def make(**fields: Any) -> dict[str, Any]:
        document = {
            "_id": "k1",
            "queue": "default",
            "state": TaskState.READY.value,
            "priority": 0,
            "run_at": NOW - timedelta(seconds=5),
            "tags": {},
            "created_at": NOW - timedelta(seconds=5),
            "modified_at": NOW - timedelta(seconds=5),
            "version": 1,
        }
        held = {inner: fields.pop(name) for name, inner in HELD.items() if name in fields}
        return document | fields | ({"hold": held} if held else {})

    return make


@pytest.fixture
def make_claimed(make_document: Callable[..., dict[str, Any]]) -> Callable[..., Unread]:
    """Give `make_claimed(**fields)`: a running task, claimed once, with these stored fields, not read yet."""

    def make(**fields: Any) -> Unread:
        held = {
            "state": TaskState.RUNNING.value,
            "token": "t1",
            "worker": "host:1:a",
            "lease_until": NOW + timedelta(seconds=30),
            "attempts": 1,
            "version": 2,
        }
        return Unread(make_document(**(held | fields)), "ns", NOW)

    return make


@pytest.fixture
def make_task(make_claimed: Callable[..., Unread]) -> Callable[..., Task]:
    """Give `make_task(**fields)`: the same, read."""
    return lambda **fields: make_claimed(**fields).read()


@pytest.fixture
def make_attempt(make_claimed: Callable[..., Unread]) -> Callable[..., LiveAttempt]:
    """Give `make_attempt(sent, **fields)`: the live side of such a task, claimed at `sent` on `elapsed()`."""

    def make(sent: float, *, policy: Policy | None = None, **fields: Any) -> LiveAttempt:
        return LiveAttempt(make_claimed(**fields), policy or Policy(), sent)

    return make


def _as_read(command: Command, reply: Any) -> Any:
    """The reply as the driver gives it: without zones where the command asks for that."""
    if not isinstance(command, Find) or not command.naive:
        return reply
    return [{name: v.replace(tzinfo=None) if isinstance(v, datetime) else v for name, v in d.items()} for d in reply]


def _plain(command: Command) -> Command:
    """The command with `{"$eq": value}` written as the value, which says the same and reads better."""
    given = getattr(command, "where", None)
    if given is None:
        return command
    where = {name: value["$eq"] if _is_eq(value) else value for name, value in given.items()}
    plain: Any = command
    return replace(plain, where=where)  # type: ignore[no-any-return]


def _is_eq(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["$eq"]


@pytest.fixture
def drive() -> Callable[..., tuple[list[Any], Any]]:
    """Give `drive(op, *replies)`: the commands that `op` yields and its result, each fed one reply or error.

    The operation must ask for exactly as many replies as there are.
    """

    def run(op: Op[Any], *replies: Any) -> tuple[list[Any], Any]:
        commands: list[Command] = []
        left = list(replies)
        try:
            command = next(op)
            while True:
                commands.append(_plain(command))
                assert left, f"an unexpected command: {command}"
                reply = left.pop(0)
                assert not isinstance(command, Transact) or isinstance(reply, Exception), "drive its body"
                command = op.throw(reply) if isinstance(reply, Exception) else op.send(_as_read(command, reply))
        except StopIteration as done:
            assert not left, f"it ended without asking for {left}"
            return commands, done.value

    return run
