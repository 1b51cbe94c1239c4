"""What is read for a diagnosis, of servers that a test cannot start: their replies are scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple, cast

import pytest

from mongoq import IndexMissing, MongoqError, StorageRefused, StorageUnavailable, Unsupported
from mongoq.api.base import Base
from mongoq.core.clock import FrozenClock
from mongoq.diagnosis import reading
from mongoq.diagnosis.facts import Members, Oplog, Overdue, Plan, Server, Unread
from mongoq.diagnosis.registry import judge
from mongoq.storage.asking import Ask
from mongoq.storage.commands import Aggregate, Count, Find, Op
from mongoq.storage.context import Context
from mongoq.storage.control import Hello, ListIndexes, Start
from mongoq.storage.documents import indexes
from mongoq.storage.operations.examining import bounded as bounding
from mongoq.storage.operations.examining import plans, servers, tasks
from mongoq.storage.operations.examining.bounded import LIMIT, attempt, bounded

NOW = FrozenClock().now()
Reply = Any
Answer = Callable[[Any], Reply]


def run(op: Op[Any], answer: Answer) -> Any:
    """Run an operation; each command gets what `answer` says, and an error that it returns is raised."""
    reply: Any = None
    try:
        asked = op.send(None)
        while True:
            try:
                reply = answer(asked)
            except MongoqError as error:
                asked = op.throw(error)
            else:
                asked = op.send(reply)
    except StopIteration as done:
        return done.value


def scripted(**replies: Any) -> Answer:
    """Answer the commands of `Ask` by their names; an error is raised, and what is not scripted is refused."""

    def answer(asked: Any) -> Any:
        name = next(iter(asked.command))
        reply = replies.get(name, StorageRefused("no such command", code=59))
        if isinstance(reply, Exception):
            raise reply
        return reply(asked.command) if callable(reply) else reply

    return answer


HELLO = {"setName": "rs", "hosts": ["a:1", "b:1"], "passives": ["c:1"], "arbiters": ["d:1"], "primary": "a:1"}


def test_the_server_tells_its_set_and_its_arbiters_to_anybody() -> None:
    assert run(servers.server(), scripted(hello=HELLO)) == Server(
        "rs", hosts=("a:1", "b:1", "c:1"), arbiters=("d:1",), primary="a:1"
    )
    assert run(servers.server(), scripted(hello={"ok": 1})) == Server()
    assert run(servers.server(), scripted(hello={"msg": "isdbgrid"})).sharded


def test_members_that_vote_that_are_down_and_that_lag_are_read_from_the_set() -> None:
    config = {"members": [{}, {"votes": 1}, {"votes": 0}], "writeConcernMajorityJournalDefault": False}
    status = [
        {"name": "a:1", "stateStr": "PRIMARY", "health": 1, "optimeDate": NOW},
        {"name": "b:1", "stateStr": "SECONDARY", "health": 1, "optimeDate": NOW - timedelta(seconds=40)},
        {"name": "c:1", "stateStr": "(not reachable/healthy)", "health": 0, "optimeDate": NOW},
    ]
    found = run(servers.members(), scripted(replSetGetConfig={"config": config}, replSetGetStatus={"members": status}))
    assert found == Members(2, False, ("c:1",), {"b:1": timedelta(seconds=40)})
    assert [one.check for one in judge(Server("rs", primary="a:1"), found).findings] == [
        "server.journal", "server.voters", "server.members", "server.members",
    ]  # fmt: skip


class Stamp(NamedTuple):
    time: int


def test_the_oplog_covers_what_lies_between_its_ends() -> None:
    def found(command: Any) -> Any:
        return {"cursor": {"firstBatch": [{"ts": Stamp(1_000 if command["sort"]["$natural"] == 1 else 4_600)}]}}

    sizes = {"cursor": {"firstBatch": [{"storageStats": {"size": 95, "maxSize": 100}}]}}
    assert run(servers.oplog(), scripted(find=found, aggregate=sizes)) == Oplog(timedelta(hours=1), full=True)


def test_parameters_that_a_server_does_not_know_are_as_by_default() -> None:
    found = run(servers.parameters(), scripted(getParameter={"ttlMonitorEnabled": False}))
    assert (found.ttl_monitor, found.ttl_sleep, found.snapshot_window) == (False, timedelta(seconds=60), timedelta(0))


def privilege(actions: str, **resource: Any) -> dict[str, Any]:
    return {"resource": resource, "actions": actions.split()}


ALL = "find insert update remove listIndexes changeStream"
CASES = [
    ([privilege(ALL, anyResource=True)], []),
    ([privilege(ALL, db="shop", collection="")], []),
    ([privilege(ALL, db="", collection="ns.tasks"), privilege(ALL, db="shop", collection="ns.workers")], []),
    ([privilege("insert listIndexes", db="shop", collection="ns.tasks")], ["worker", "operator"]),
    ([privilege("find", db="shop", collection="")], ["producer", "worker", "operator"]),
    ([privilege(ALL, db="other", collection=""), privilege(ALL, cluster=True)], ["producer", "worker", "operator"]),
]


@pytest.mark.parametrize("privileges, roles", CASES)
def test_the_rights_of_a_user_are_held_against_what_each_role_needs(
    make_context: Callable[..., Context], privileges: list[Any], roles: list[str]
) -> None:
    told = {"authenticatedUsers": [{"user": "ann"}], "authenticatedUserPrivileges": privileges}
    found = run(servers.rights(make_context(), "shop"), scripted(connectionStatus={"authInfo": told}))
    assert [role for role, lacks in found.lacks.items() if lacks] == roles


def test_a_server_that_asks_nobody_for_a_name_lets_everybody_do_everything(
    make_context: Callable[..., Context],
) -> None:
    found = run(servers.rights(make_context(), "shop"), scripted(connectionStatus={"authInfo": {}}))
    assert not any(found.lacks.values())


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


PLAIN = {"queryPlanner": {"winningPlan": {"stage": "FETCH", "inputStage": {"stage": "IXSCAN", "indexName": "claim"}}}}
NEWER = {"queryPlanner": {"winningPlan": {"queryPlan": PLAIN["queryPlanner"]["winningPlan"], "slotBasedPlan": {}}}}
SHARDS = {"queryPlanner": {"winningPlan": {"stage": "SINGLE_SHARD", "shards": [PLAIN["queryPlanner"]]}}}
SCAN = {"queryPlanner": {"winningPlan": {"stage": "SORT", "inputStage": {"stage": "COLLSCAN"}}}}
RUN = {"totalKeysExamined": 7, "totalDocsExamined": 6, "nReturned": 5, "executionTimeMillis": 1_500}


@pytest.mark.parametrize("reply", [PLAIN, NEWER, SHARDS])
def test_a_plan_is_read_in_whatever_shape_the_server_explains_it(
    make_context: Callable[..., Context], reply: dict[str, Any]
) -> None:
    found = run(plans.plans(make_context(), ["mail"], []), scripted(explain=reply | {"executionStats": RUN}))
    first = found.plans[0]
    assert (first.query, first.used) == ("claims of mail", ("claim",))
    assert (first.keys, first.documents, first.returned) == (7, 6, 5)
    assert first.took == timedelta(seconds=1.5)
    assert "IXSCAN" in first.stages


def test_plans_that_scan_or_do_not_end_are_told(make_context: Callable[..., Context]) -> None:
    scanned = run(plans.plans(make_context(), ["mail"], ["welcome"]), scripted(explain=SCAN))
    assert {one.check for one in judge(scanned).findings} == {"query.scan"}
    assert [one.query for one in scanned.plans][:2] == ["claims of mail", "claims of mail by name"]
    endless = run(plans.plans(make_context(), ["mail"], []), scripted(explain=StorageUnavailable("slow", code=50)))
    assert {one.check for one in judge(endless).findings} == {"query.slow"}
    assert endless.plans[0] == Plan("claims of mail", "claim", ended=False)


def test_explained_queries_are_those_of_few_queues_and_bounded(make_context: Callable[..., Context]) -> None:
    asked: list[Ask] = []

    def answer(command: Ask) -> Any:
        asked.append(command)
        return PLAIN

    run(plans.plans(make_context(), [f"queue-{number}" for number in range(10_000)], ["welcome"]), answer)
    assert len(asked) < 12
    assert all(one.command["explain"]["limit"] == 100 for one in asked)
    assert all(one.timeout == timedelta(seconds=2) for one in asked)


def test_indexes_that_are_not_mongoq_s_tell_how_often_they_were_used(make_context: Callable[..., Context]) -> None:
    own = {name: {"key": keys, **options} for name, (keys, options) in indexes.TASKS.items()}
    seen = {"seen": {"key": [("seen_at", 1)], "expireAfterSeconds": 60}}
    uses = [{"name": "mine", "accesses": {"ops": 0, "since": NOW - timedelta(days=3)}}]

    def answer(asked: Any) -> Any:
        if isinstance(asked, ListIndexes):
            return seen if asked.collection.endswith("workers") else own | {"mine": {"key": [("tags.a", 1)]}}
        if isinstance(asked, Ask):
            return {"cursor": {"firstBatch": uses}}
        return [] if isinstance(asked, Find) else None

    found = run(plans.look_at_indexes(make_context(), "shop", named=False), answer)
    assert found.missing == ()
    assert [one.check for one in judge(found).findings] == ["index.unused"]


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
