"""What is read of the server, the client, this host and the indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands for a fact that could not be read."""

    reason: str


@dataclass(frozen=True, slots=True)
class Server:
    """What the server says of itself to anybody."""

    set_name: str | None = None
    """The name of its replica set; None: it is a standalone server, or a router of a sharded cluster."""
    sharded: bool = False
    hosts: tuple[str, ...] = ()
    """The members that may become primary, and those that never do."""
    arbiters: tuple[str, ...] = ()
    primary: str | None = None


@dataclass(frozen=True, slots=True)
class Members:
    """How the replica set is configured, and how its members stand."""

    voters: int
    journaled: bool = True
    """Whether a majority write waits for the journal."""
    down: tuple[str, ...] = ()
    """The members that the primary does not reach, or that are recovering."""
    behind: Mapping[str, timedelta] = field(default_factory=dict)
    """How far each secondary is behind the primary."""


@dataclass(frozen=True, slots=True)
class Oplog:
    """What the oplog covers."""

    window: timedelta
    full: bool
    """Whether it has begun to drop its oldest entries; a young one covers little because little has happened."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the server."""

    ttl_monitor: bool = True
    ttl_sleep: timedelta = timedelta(seconds=60)
    snapshot_window: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Client:
    """The options of this process's client, as the URI or the application set them."""

    w: int | str | None = None
    journal: bool | None = None
    reads_from: str = "Primary"
    pool: int | None = 100
    """None: without a limit."""
    direct: bool = False
    socket_timeout: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """This host."""

    ahead: timedelta
    """By how much its clock is ahead of the server's."""


@dataclass(frozen=True, slots=True)
class Rights:
    """What this user may do in the namespace."""

    user: str
    """Its name; empty where the server asks nobody for one."""
    lacks: Mapping[str, Sequence[str]]
    """By role (`producer`, `worker`, `operator`): what it lacks, as `action on collection`."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """An index on the tasks that mongoq did not make."""

    name: str
    keys: tuple[str, ...]
    uses: int | None = None
    """How often it was used since; None: not told."""
    since: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Indexes:
    """The indexes of the namespace."""

    missing: tuple[str, ...] = ()
    """Those of mongoq that are not there, hidden, building, or of other keys or options."""
    foreign: tuple[Foreign, ...] = ()
    unusual: str | None = None
    """What makes the collection unfit for tasks, such as that it is capped."""
    collection: str = "tasks"
    """The collection of the tasks."""
    database: str = "mongoq"
    there: bool = True
    """Whether there is such a collection."""
    others: tuple[str, ...] = ()
    """Where there is none: the namespaces of this database that have tasks."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the server runs one of mongoq's own queries, by `explain`."""

    query: str
    expected: str
    """The index that it is made for."""
    stages: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    keys: int = 0
    documents: int = 0
    returned: int = 0
    took: timedelta = timedelta(0)
    ended: bool = True
    """Whether it ended within its time limit."""


@dataclass(frozen=True, slots=True)
class Plans:
    """The plans of the hot queries."""

    plans: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """The format of the namespace, and of this process."""

    own: int
    stored: int | None = None
    """That of the newest process that has written here."""
    oldest_reader: int | None = None
