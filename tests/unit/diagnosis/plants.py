"""For each check facts that it must find something in, what its finding says, and facts in which nothing is wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

from mongoq import NewTask, QueueStats, Schedule, TaskError, TaskState, WorkerInfo
from mongoq.diagnosis.facts import (
    Client,
    Failures,
    Fleet,
    Foreign,
    Format,
    Holder,
    Holders,
    Host,
    Indexes,
    Limits,
    Line,
    Members,
    Oplog,
    Overdue,
    Parameters,
    Parked,
    Plan,
    Plans,
    Rights,
    Schedules,
    Server,
    Waiting,
)
from mongoq.diagnosis.finding import Level
from mongoq.limiting.limit import Limit, LimitGroup
from mongoq.pausing.pause import Pause
from mongoq.testing import make_task
from mongoq.testing.tasks import NOW


class Plant(NamedTuple):
    """A fact that is planted, and a part of what is to be said of it."""

    fact: Any
    says: str
    level: Level | None = None
    """Where it is another than that of the check."""


HOSTS: Final = ("a:1", "b:1", "c:1")
WORKER: Final = WorkerInfo("host:7:ab", "host", 7, ("mail",), 4, 0, (), NOW, NOW, version="1.1", pool=100)
SET: Final = Server("rs", False, HOSTS, (), "a:1")
FLEET: Final = Fleet(NOW, {"mail": QueueStats("mail", ready=2, oldest_ready=timedelta(seconds=5))}, [WORKER])
GOOD_PLAN: Final = Plan("claims of mail", "claim", ("LIMIT", "FETCH", "IXSCAN"), ("claim",), 100, 100, 100)
NIGHTLY: Final = Schedule(
    "nightly",
    NewTask(),
    "0 3 * * *",
    "UTC",
    every=None,
    catch_up="latest",
    jitter=timedelta(0),
    overlap="skip",
    next_at=NOW + timedelta(hours=1),
    last_at=None,
    last_key=None,
    skipped=0,
    paused_at=None,
    paused_by=None,
    reason=None,
    anchor=NOW,
    from_code=False,
    version=1,
)
FAILED: Final = make_task(state=TaskState.FAILED, errors=(TaskError("TimeoutError", "slow", "", NOW, 1, "w"),))
TENANT: Final = LimitGroup("tenant", "acme", 0, 3, "k1")
YEAR: Final = timedelta(days=365)

HEALTHY: Final = (
    SET, Members(3, behind={"b:1": timedelta(seconds=1)}), Oplog(timedelta(minutes=5), full=False), Parameters(),
    Client(w="majority"), Rights("shop", {"producer": (), "worker": (), "operator": ()}), Host(timedelta(0)),
    Format(2, 2, 1), Indexes(foreign=(Foreign("of_customers", ("tags.customer",), 7, YEAR),)), Plans((GOOD_PLAN,)),
    FLEET, Schedules(NOW, [NIGHTLY, replace(NIGHTLY, paused_at=NOW, next_at=None, reason="deploy")]), Failures(()),
    Limits([Limit("tenant", 2, by="tenant")], groups=[replace(TENANT, behind=None, running=2)]), Overdue(), Parked(7),
    Holders([Holder(WORKER.id, 2, NOW)]),
)  # fmt: skip
"""One fact of each type; nothing is wrong with any of them."""


def _worker(**changes: Any) -> Fleet:
    return replace(FLEET, workers=[WORKER, replace(WORKER, id="other:8:cd", host="other", pid=8, **changes)])


def _row(**changes: Any) -> Fleet:
    return replace(FLEET, queues={"mail": replace(FLEET.queues["mail"], **changes)})


def _plan(**changes: Any) -> Plans:
    return Plans((GOOD_PLAN, replace(GOOD_PLAN, **changes)))


PLANTS: Final[dict[str, list[Plant]]] = {
    "server.standalone": [Plant(Server(), "is a standalone")],
    "server.sharded": [Plant(Server(sharded=True), "a sharded cluster")],
    "server.no-primary": [Plant(replace(SET, primary=None), "The replica set rs (a:1, b:1, c:1) has no primary")],
    "server.arbiter": [Plant(replace(SET, arbiters=("d:1",)), "d:1 is an arbiter")],
    "server.voters": [Plant(Members(4), "4 voting members, an even number")],
    "server.journal": [Plant(Members(3, journaled=False), "does not wait for the journal")],
    "server.members": [
        Plant(Members(3, down=("b:1",)), "The member b:1 is down"),
        Plant(Members(3, behind={"c:1": timedelta(minutes=3)}), "The member c:1 is 3 min behind"),
    ],
    "server.oplog": [Plant(Oplog(timedelta(minutes=20), full=True), "covers the last 20 min only")],
    "server.ttl-monitor": [Plant(Parameters(ttl_monitor=False), "TTL monitor is switched off")],
    "server.history": [Plant(Parameters(snapshot_window=timedelta(minutes=5)), "keeps 5 min of old versions")],
    "client.write-concern": [
        Plant(Client(w=1), "asks for w=1"),
        Plant(Client(journal=False), "do not wait for the journal"),
    ],
    "client.read-preference": [Plant(Client(reads_from="SecondaryPreferred"), "reads from SecondaryPreferred")],
    "client.direct": [Plant(Client(direct=True), "bound to one of 3 members")],
    "client.socket-timeout": [Plant(Client(socket_timeout=timedelta(seconds=0.5)), "waits 0.5 s for a reply")],
    "client.pool": [Plant(Client(pool=4), "at most 4 connections")],
    "user.rights": [
        Plant(
            Rights("shop", {"producer": (), "worker": ("update on tasks", "changeStream on tasks"), "operator": ()}),
            "shop may be a producer and operator; as a worker it lacks update on tasks, changeStream on tasks",
        ),
        Plant(
            Rights("eve", {"producer": ("insert on tasks",), "worker": ("insert on tasks",), "operator": ("find",)}),
            "eve may look, and neither",
            Level.NOTE,
        ),
    ],
    "host.clock": [
        Plant(Host(timedelta(seconds=90)), "The clock of this host is 90 s ahead of the database's"),
        Plant(Host(timedelta(seconds=-2)), "2.0 s behind"),
    ],
    "host.worker-clock": [Plant(_worker(ahead_of_server=timedelta(hours=2)), "The clock of other is 2 h ahead of")],
    "namespace.empty": [
        Plant(
            Indexes(collection="mial.tasks", there=False), "The namespace mial of mongoq has no tasks, and never had"
        ),
        Plant(Indexes(there=False, others=("mail", "shop")), "never had; with tasks are here: mail, shop"),
    ],
    "namespace.format": [Plant(Format(2, 4, 3), "its tasks are for format 3, and this mongoq reads 2")],
    "namespace.newer": [Plant(Format(2, 3, 1), "format 3, this one is 2")],
    "namespace.versions": [
        Plant(_worker(version="1.0"), "Workers of 2 versions of mongoq run side by side: 1 of 1.0, 1 of 1.1"),
        Plant(_worker(version=None), "side by side: 1 of 1.1, 1 of one that does not tell"),
    ],
    "index.missing": [Plant(Indexes(("ns.tasks.claim",)), "The index ns.tasks.claim is missing")],
    "index.collection": [Plant(Indexes(unusual="is capped"), "The collection of the tasks is capped")],
    "index.competing": [
        Plant(Indexes(foreign=(Foreign("mine", ("state", "priority")),)), "The index mine on state, priority"),
    ],
    "index.unused": [
        Plant(Indexes(foreign=(Foreign("mine", ("tags.a",), 0, timedelta(days=9)),)), "was not used for 9 d"),
    ],
    "query.scan": [Plant(_plan(stages=("COLLSCAN",), used=()), "scans the collection instead of claim")],
    "query.index": [Plant(_plan(used=("mine",)), "uses the index mine instead of claim")],
    "query.examined": [
        Plant(_plan(keys=90_000, documents=80_000), "examined 90,000 keys and 80,000 documents for 100")
    ],
    "query.slow": [
        Plant(_plan(took=timedelta(seconds=4)), "took 4.0 s"),
        Plant(_plan(ended=False), "did not end within"),
    ],
    "worker.silent": [
        Plant(
            _worker(seen_at=NOW - timedelta(seconds=50), running=3),
            "other:8 has been silent for 50 s and holds 3 tasks",
        ),
    ],
    "worker.gone": [Plant(Holders([Holder("h:9:ef", 3, NOW)]), "h:9:ef sends no heartbeat and holds 3 tasks")],
    "worker.pool": [Plant(_worker(pool=10, workers=50), "other:8 has 10 connections for 50 handlers")],
    "queue.unserved": [
        Plant(replace(FLEET, workers=[]), "No worker serves mail: 2 ready tasks"),
        Plant(replace(FLEET, workers=[], sampled=True), "No worker serves mail: at least 2 ready tasks"),
        Plant(replace(FLEET, workers=[replace(WORKER, seen_at=NOW - timedelta(seconds=50))]), "No worker serves mail"),
    ],
    "queue.unhandled": [
        Plant(
            replace(_row(unhandled=2), unknown={"mail": ["welcom"]}),
            "2 ready tasks of mail that no worker takes: welcom",
        ),
    ],
    "queue.lags": [
        Plant(_row(oldest_ready=timedelta(minutes=9)), "mail lags behind: its oldest task has been due for 9 min")
    ],
    "queue.paused": [
        Plant(
            replace(FLEET, pauses=[Pause("mail", None, "deploy", "ann", NOW, None)]),
            "Queue mail is paused by ann (deploy): 2 ready tasks wait",
        ),
        Plant(
            replace(FLEET, pauses=[Pause(None, None, None, "ann", NOW, None, "tenant", "acme")]),
            "Tasks with tenant='acme' is paused by ann",
        ),
    ],
    "queue.dead": [
        Plant(replace(FLEET, queues={"mail/err": QueueStats("mail/err", ready=2)}), "2 dead letters in mail/err")
    ],
    "queue.failures": [
        Plant(Failures([FAILED]), "1 task failed within the last hour: 1 TimeoutError"),
        Plant(Failures([FAILED] * 25, more=True), "25+ tasks failed", Level.FAULT),
    ],
    "schedule.late": [
        Plant(
            Schedules(NOW, [replace(NIGHTLY, next_at=NOW - timedelta(minutes=5))]),
            "nightly is late: its tick has been due for 5 min",
        ),
    ],
    "schedule.refused": [
        Plant(Schedules(NOW, [replace(NIGHTLY, reason="too large")]), "nightly cannot enqueue: too large")
    ],
    "limit.unreadable": [Plant(Limits(unreadable=("stripe",)), "The limit stripe is stored with numbers")],
    "limit.line": [
        Plant(
            Limits(lines=[Line(TENANT, "k1", "scheduled", "TimeoutError", NOW)]),
            "The line of tenant of 'acme' halts behind k1, which failed with TimeoutError",
        ),
    ],
    "limit.held": [
        Plant(Limits(held={"k1": "tenant:acme/00000"}), "tenant:acme/00000 is held by k1, whose lease is over")
    ],
    "limit.rate": [
        Plant(
            Limits([Limit("stripe", rate=1, per=timedelta(minutes=1))], groups=[LimitGroup("stripe", None, 0, 9_000)]),
            "9,000 tasks wait for the rate of stripe, which takes 6 d",
        ),
    ],
    "task.lost": [
        Plant(Overdue(("k1", "k2", "k3"), timedelta(minutes=4)), "over for 4 min, and not taken back: k1, k2 and 1")
    ],
    "task.due": [Plant(Overdue(due_for=timedelta(minutes=4), due_queue="mail"), "task of mail has been due for 4 min")],
    "task.unexpired": [Plant(Overdue(expired_for=timedelta(hours=3)), "should have expired 3 h ago")],
    "task.unpurged": [Plant(Overdue(unpurged=1_000, unpurged_for=timedelta(hours=5)), "1,000 tasks or more should")],
    "task.waits-for-failed": [
        Plant(
            Parked(2, [Waiting("k1", "is failed", "p"), Waiting("k2", "is failed", "p")]), "p is failed: 2 parked tasks"
        ),
    ],
    "task.stale": [
        Plant(Parked(1, stale=[Waiting("k1", "waits for p, which is not there any more")]), "The parked task k1 waits")
    ],
}
