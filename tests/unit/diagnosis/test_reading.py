"""What a diagnosis reads of a namespace, and what becomes of what it may not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, cast

import pytest

from mongoq import IndexMissing, MongoqError, StorageRefused, StorageUnavailable, Unsupported
from mongoq.api.base import Base
from mongoq.diagnosis import reading
from mongoq.diagnosis.facts import Overdue, Unread
from mongoq.diagnosis.registry import judge
from mongoq.storage.asking import Ask
from mongoq.storage.commands import Aggregate, Count, Find, Op
from mongoq.storage.context import Context
from mongoq.storage.control import Hello, ListIndexes, Start
from mongoq.storage.documents import indexes
from mongoq.storage.operations.examining import bounded as bounding
from mongoq.storage.operations.examining import servers, tasks
from mongoq.storage.operations.examining.bounded import LIMIT, attempt, bounded
from tests.unit.diagnosis.answers import HELLO, NOW, Reply, run, scripted

Answer = Callable[[Any], Reply]


@pytest.mark.parametrize(
    "error, reason",
    [
        (StorageRefused("no", code=13), "this user lacks the right to read the oplog"),
        (StorageRefused("no", code=8000), "the provider does not let anybody read the oplog"),
        (StorageRefused("no", code=59), "the server does not know how to read the oplog"),
        (StorageUnavailable("slow", code=50), "to read the oplog takes too long here"),
        (Unsupported("mongomock"), "this server cannot tell"),
        (StorageRefused("MongoDB refused: see its log"), "MongoDB refused: see its log"),
    ],
)
def test_what_may_not_be_read_says_why_instead_of_failing(error: MongoqError, reason: str) -> None:
    assert run(attempt(servers.oplog(), "read the oplog"), scripted(find=error)) == Unread(reason)


def test_every_read_has_a_time_limit_and_nothing_long_is_begun() -> None:
    def op() -> Op[list[Any]]:
        one = yield Find("c", {})
        two = yield Count("c", {}, timeout=timedelta(seconds=1))
        three = yield Aggregate("c", [], timeout=timedelta(minutes=10))
        return [one, two, three, (yield Hello())]

    limits = run(bounded(op()), lambda asked: getattr(asked, "timeout", None))
    assert limits == [LIMIT, timedelta(seconds=1), LIMIT, None]

    def long() -> Op[Any]:
        return (yield Start(op()))

    asked: list[Any] = []
    found = run(attempt(long(), "count"), asked.append)
    assert found == Unread("to count takes too long here")
    assert asked == []


def test_a_read_of_many_commands_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def op() -> Op[int]:
        for number in range(10_000):
            yield Find("c", {"_id": number})
        return 10_000

    asked: list[Any] = []
    times = iter(range(10_000))
    monkeypatch.setattr(bounding, "elapsed", lambda: float(next(times)))
    assert run(attempt(op(), "look at the limits"), asked.append) == Unread("to look at the limits takes too long here")
    assert len(asked) == bounding.TOGETHER


class FakeBase:
    """As much of a queue's inside as a diagnosis looks at before it reads."""

    class driver:  # noqa: N801 -- an attribute of the queue's inside
        class connection:  # noqa: N801 -- as above
            class database:  # noqa: N801 -- as above
                client = None
                name = "shop"

    def __init__(self, context: Context) -> None:
        self.context = context

    def check_open(self) -> None:
        """Be open."""


def base_of(context: Context) -> Base:
    return cast("Base", FakeBase(context))


def test_a_set_without_a_primary_is_told_and_nothing_else_is_asked(make_context: Callable[..., Context]) -> None:
    replies: Iterator[Any] = iter([HELLO | {"primary": None}, StorageUnavailable("no primary")])

    def answer(_: Any) -> Any:
        reply = next(replies)
        if isinstance(reply, Exception):
            raise reply
        return reply

    found = run(reading.diagnosed(base_of(make_context())), answer)
    assert [one.check for one in found.findings] == ["server.no-primary", "server.arbiter"]
    assert {one.reason for one in found.not_run if not one.check.startswith("client")} == {
        "the replica set has no primary"
    }
    assert not found.healthy


def test_a_server_that_nobody_reaches_is_an_error(make_context: Callable[..., Context]) -> None:
    with pytest.raises(StorageUnavailable, match="away"):
        run(reading.diagnosed(base_of(make_context())), scripted(hello=StorageUnavailable("away")))


def test_a_user_who_may_nothing_but_connect_gets_every_check_with_its_reason(
    make_context: Callable[..., Context],
) -> None:
    def answer(asked: Any) -> Any:
        if isinstance(asked, Hello):
            return {"localTime": NOW}
        if isinstance(asked, Ask) and "hello" in asked.command:
            return {"ok": 1}
        if isinstance(asked, (Ask, Find, Aggregate, Count, ListIndexes)):
            raise StorageRefused("no", code=13)
        return None

    found = run(reading.diagnosed(base_of(make_context())), answer)
    reasons = {one.check: one.reason for one in found.not_run}
    assert reasons["queue.unserved"] == "this user lacks the right to look at the queues and the workers"
    assert reasons["server.oplog"] == "the server is no replica set"
    assert [one.check for one in found.findings if one.check == "server.standalone"]


def test_what_does_not_fit_into_the_time_is_not_read(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST", -1.0)

    def answer(asked: Any) -> Any:
        if isinstance(asked, Hello):
            return {"localTime": NOW}
        return HELLO if isinstance(asked, Ask) and "hello" in asked.command else []

    found = run(reading.diagnosed(base_of(make_context())), answer)
    reasons = {one.check: one.reason for one in found.not_run}
    assert {reasons[name] for name in ("queue.unserved", "server.oplog", "query.scan")} == {
        "the -1 s of a diagnosis were over"
    }


def test_what_sweeps_and_the_ttl_monitor_left_is_read_at_the_heads_of_the_indexes(
    make_context: Callable[..., Context],
) -> None:
    heads = {
        indexes.LEASE: [{"_id": "k1", "hold": {"until": NOW - timedelta(minutes=4)}}],
        indexes.DUE: [{"_id": "k2", "queue": "mail", "run_at": NOW - timedelta(minutes=3)}],
        indexes.PURGE: [{"_id": "k3", "purge_at": NOW - timedelta(hours=5)}],
    }
    counted: list[int] = []

    def answer(asked: Any) -> Any:
        if isinstance(asked, Count):
            counted.append(asked.most)
            return 700
        if asked.hint == indexes.EXPIRY:
            raise IndexMissing("not there")
        assert asked.limit <= 10
        return heads[asked.hint]

    found = run(tasks.overdue(make_context()), answer)
    assert found == Overdue(
        ("k1",), timedelta(minutes=4), timedelta(minutes=3), "mail", unpurged=700, unpurged_for=timedelta(hours=5)
    )
    assert counted == [1_000], "it counts no further"
    assert {one.check for one in judge(found).findings} == {"task.lost", "task.due", "task.unpurged"}
