"""Checks of the server: its replica set, its members, its oplog and its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Members, Oplog, Parameters, Server
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import listed, mongosh, span

LAG: Final = timedelta(seconds=10)
SHORTEST_WINDOW: Final = timedelta(hours=1)
LONGEST_HISTORY: Final = timedelta(seconds=5)


@check(
    "server.standalone", Level.FAULT, "a server that is no member of a replica set",
    effect="It may lose what it acknowledged, has no transactions and no change streams; workers poll.",
    advice="Make it a replica set; one node is enough: restart it with --replSet, then initiate it.",
    command=mongosh("rs.initiate()"),
)  # fmt: skip
def standalone(server: Server) -> Iterator[Found]:
    """A standalone server."""
    if server.set_name is None and not server.sharded:
        yield Found("standalone", "The server is a standalone, no member of a replica set")


@check(
    "server.sharded", Level.WARNING, "a router of a sharded cluster",
    effect="mongoq is not tested on sharded clusters: the order of claims and unique values rest on one shard.",
    advice="Keep the database of the queue unsharded, or use a replica set of its own.",
)  # fmt: skip
def sharded(server: Server) -> Iterator[Found]:
    """A router of a sharded cluster."""
    if server.sharded:
        yield Found("mongos", "The server is a router of a sharded cluster")


@check(
    "server.no-primary", Level.FAULT, "a replica set without a primary",
    effect="Nothing is enqueued, claimed or finished until there is one.",
    advice="Bring back a majority of the voting members; see which ones are down.",
    command=mongosh("rs.status()"),
)  # fmt: skip
def no_primary(server: Server) -> Iterator[Found]:
    """A set without a primary."""
    if server.set_name is not None and server.primary is None:
        members = listed(server.hosts)
        yield Found(server.set_name, f"The replica set {server.set_name} ({members}) has no primary")


@check(
    "server.arbiter", Level.WARNING, "an arbiter in the replica set",
    effect="While one data-bearing member is down no write reaches a majority: enqueueing and claims fail.",
    advice="Replace it by a member with data.",
    command=mongosh('rs.remove("HOST:PORT"); rs.add("HOST:PORT")'),
)  # fmt: skip
def arbiter(server: Server) -> Iterator[Found]:
    """An arbiter."""
    for one in server.arbiters:
        yield Found(one, f"{one} is an arbiter")


@check(
    "server.voters", Level.WARNING, "an even number of voting members",
    effect="It survives the loss of no more members than with one voter less; two of two do not survive any.",
    advice="Add a member with data, or take the vote from one.",
    command=mongosh('rs.add("HOST:PORT")'),
)  # fmt: skip
def voters(server: Server, members: Members) -> Iterator[Found]:
    """An even number of voters."""
    if members.voters and members.voters % 2 == 0:
        yield Found(server.set_name or "", f"The replica set has {members.voters} voting members, an even number")


@check(
    "server.journal", Level.FAULT, "a majority that does not wait for the journal",
    effect="What was acknowledged is lost when a majority of the members lose power together.",
    advice="Set writeConcernMajorityJournalDefault to true in the configuration of the set.",
    command=(
        mongosh("c=rs.conf(); c.writeConcernMajorityJournalDefault=true; rs.reconfig(c)")
    ),
)  # fmt: skip
def journal(server: Server, members: Members) -> Iterator[Found]:
    """Majority writes without the journal."""
    if not members.journaled:
        yield Found(server.set_name or "", "A majority write does not wait for the journal of the members")


@check(
    "server.members", Level.WARNING, "members that are down, or more than 10 s behind the primary",
    effect="A fail-over has fewer members to choose from; majority writes wait for those that are behind.",
    advice="Bring the member back, or find what keeps it behind.",
    command=mongosh("rs.printSecondaryReplicationInfo()"),
)  # fmt: skip
def down(members: Members) -> Iterator[Found]:
    """Members that are down or behind."""
    for name in members.down:
        yield Found(name, f"The member {name} is down or recovering")
    for name, lag in members.behind.items():
        if lag > LAG and name not in members.down:
            yield Found(name, f"The member {name} is {span(lag)} behind the primary")


@check(
    "server.oplog", Level.WARNING, "an oplog that covers less than an hour",
    effect="A member that is away for longer must be copied anew, and a sleeping change stream starts over.",
    advice="Make the oplog larger, in megabytes, on each member.",
    command=mongosh("db.adminCommand({replSetResizeOplog: 1, size: 16000})"),
)  # fmt: skip
def oplog(oplog: Oplog) -> Iterator[Found]:
    """A short oplog."""
    if oplog.full and oplog.window < SHORTEST_WINDOW:
        yield Found("oplog", f"The oplog covers the last {span(oplog.window)} only")


@check(
    "server.ttl-monitor", Level.FAULT, "a TTL monitor that is off",
    effect="Finished tasks, heartbeats and history are never removed: the collections grow without an end.",
    advice="Switch it on; it was switched off by hand or by the server's configuration.",
    command=mongosh("db.adminCommand({setParameter: 1, ttlMonitorEnabled: true})"),
)  # fmt: skip
def ttl_monitor(parameters: Parameters) -> Iterator[Found]:
    """A TTL monitor that is off."""
    if not parameters.ttl_monitor:
        yield Found("ttlMonitorEnabled", "The server's TTL monitor is switched off")


@check(
    "server.history", Level.NOTE, "a storage engine that keeps old versions for snapshot reads",
    effect="Deleted entries stay at the head of an index so long, and short claims walk over them.",
    advice="Set the window to 0 where nothing reads at a snapshot; large batches pay little either way.",
    command=mongosh("db.adminCommand({setParameter: 1, minSnapshotHistoryWindowInSeconds: 0})"),
)  # fmt: skip
def history(parameters: Parameters) -> Iterator[Found]:
    """A long snapshot window."""
    if parameters.snapshot_window > LONGEST_HISTORY:
        window = span(parameters.snapshot_window)
        yield Found("minSnapshotHistoryWindowInSeconds", f"The storage engine keeps {window} of old versions")
