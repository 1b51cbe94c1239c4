"""Read the facts of a diagnosis one after the other, each bounded, and judge them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from mongoq.api.base import Base
from mongoq.core.clock import elapsed
from mongoq.core.errors import Unsupported
from mongoq.diagnosis import facts
from mongoq.diagnosis.finding import Diagnosis
from mongoq.diagnosis.registry import CHECKS, judged
from mongoq.storage.commands import Op
from mongoq.storage.control import Measure
from mongoq.storage.drivers.describing import described
from mongoq.storage.operations import schema
from mongoq.storage.operations.examining import fleet, limits, plans, servers, tasks
from mongoq.storage.operations.examining.bounded import attempt, bounded
from mongoq.storage.operations.namespace import format_version

LONGEST: Final = 20.0
"""Seconds after which no further fact is read; each command is bounded by itself."""
Facts = dict[type[Any], Any]
"""Facts by their type; `Unread` for those that could not be read."""

_OF_A_SET: Final = (facts.Members, facts.Oplog)
"""What only a replica set has."""


def diagnosed(base: Base) -> Op[Diagnosis]:
    """What is wrong, as far as it could be read; StorageUnavailable where no member of the server answers."""
    base.check_open()
    known: Facts = {facts.Client: described(base.driver.connection.database.client)}
    known[facts.Server] = server = yield from _server()
    if isinstance(server, facts.Server) and server.set_name and not server.primary:
        missing = facts.Unread("the replica set has no primary")
        return judged({kind: missing for one in CHECKS for kind in one.needs} | known)
    yield Measure()
    known[facts.Host] = server  # a server in memory has no clock of its own
    if isinstance(server, facts.Server):
        known[facts.Host] = yield from attempt(_host(), "ask for the time")
    yield from _read(base, known, alone=isinstance(server, facts.Server) and server.set_name is None)
    return judged(known)


def _server() -> Op[facts.Server | facts.Unread]:
    """What the server is; a set without a primary is given the time in which it elects one."""
    try:
        found = yield from bounded(servers.server())
        if found.set_name and not found.primary and (yield from servers.has_primary()):
            found = yield from bounded(servers.server())
    except Unsupported:
        return facts.Unread("this server cannot tell")
    return found


def _read(base: Base, known: Facts, *, alone: bool) -> Op[None]:
    """Read what the primary knows, as far as the time lasts."""
    until, context, database = elapsed() + LONGEST, base.context, base.driver.connection.database.name
    for kind, what, read in _reads(base):
        if kind in _OF_A_SET and alone:
            known[kind] = facts.Unread("the server is no replica set")
        else:
            known[kind] = yield from _in_time(until, read, what)
    fleet_ = known[facts.Fleet]
    queues, names = _asked(fleet_) if isinstance(fleet_, facts.Fleet) else (["default"], [])
    look: Callable[[], Op[Any]] = lambda: plans.look_at_indexes(context, database, named=bool(names))  # noqa: E731
    known[facts.Indexes] = yield from _in_time(until, look, "list the indexes")
    known[facts.Plans] = yield from _in_time(until, lambda: plans.plans(context, queues, names), "explain queries")


def _in_time(until: float, read: Callable[[], Op[Any]], what: str) -> Op[Any]:
    if elapsed() > until:
        return facts.Unread(f"the {LONGEST:.0f} s of a diagnosis were over")
    return (yield from attempt(read(), what))


def _reads(base: Base) -> list[tuple[type[Any], str, Callable[[], Op[Any]]]]:
    """What is read by itself: its type, what it is in words, and how."""
    context, database = base.context, base.driver.connection.database.name
    return [
        (facts.Fleet, "look at the queues and the workers", lambda: fleet.fleet(context)),
        (facts.Schedules, "look at the schedules", lambda: fleet.schedules(context)),
        (facts.Failures, "look at failed tasks", lambda: fleet.failures(context)),
        (facts.Overdue, "look at the heads of the indexes", lambda: tasks.overdue(context)),
        (facts.Holders, "look at running tasks", lambda: tasks.holders(context)),
        (facts.Parked, "look at parked tasks", lambda: tasks.parked(context)),
        (facts.Limits, "look at the limits", lambda: limits.limits(context)),
        (facts.Format, "read the format", lambda: format_version.read(context)),
        (facts.Rights, "ask for its own rights", lambda: servers.rights(context, database)),
        (facts.Members, "look at the replica set (clusterMonitor)", servers.members),
        (facts.Oplog, "read the oplog (read on local)", servers.oplog),
        (facts.Parameters, "read the server's parameters (clusterMonitor)", servers.parameters),
    ]


def _asked(found: facts.Fleet) -> tuple[list[str], list[str]]:
    """The queues whose claims are explained, the fullest first, and the names that their workers ask for."""
    fullest = sorted(found.queues.values(), key=lambda row: -row.ready)
    queues = [row.queue for row in fullest if row.ready] or sorted({q for one in found.workers for q in one.queues})
    names = sorted({name for one in found.workers for name in one.names})
    return queues or ["default"], names


def _host() -> Op[facts.Host]:
    """How far this host's clock is ahead of the server's, by the middle of one round trip."""
    before = datetime.now(UTC)
    server = yield from schema.server_time()
    return facts.Host(before + (datetime.now(UTC) - before) / 2 - server)
