"""Checks of the client: what the URI or the application asks for that weakens what mongoq promises."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Client, Server
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import span

LEAST_TIMEOUT: Final = timedelta(seconds=1)
ENGINE: Final = 10
"""Connections that a worker process uses for itself (docs/operating/sizing.md)."""


@check(
    "client.write-concern", Level.WARNING, "a write concern in the URI that is weaker than a majority",
    effect="mongoq writes with a majority all the same; your own writes with this client may be rolled back alone.",
    advice="Take w= and journal= out of the URI, or set w=majority.",
)  # fmt: skip
def write_concern(client: Client) -> Iterator[Found]:
    """A weak write concern."""
    if client.w in (0, 1):
        yield Found(f"w={client.w}", f"The URI asks for w={client.w}, which a fail-over may roll back")
    if client.journal is False:
        yield Found("journal=false", "The URI asks for writes that do not wait for the journal")


@check(
    "client.read-preference", Level.WARNING, "a read preference in the URI other than primary",
    effect="mongoq reads from the primary all the same; your own reads may lack what a handler has just written.",
    advice="Take readPreference= out of the URI, and set it where a stale read does no harm.",
)  # fmt: skip
def read_preference(client: Client) -> Iterator[Found]:
    """Reads from secondaries."""
    if client.reads_from != "Primary":
        yield Found(client.reads_from, f"The URI asks for reads from {client.reads_from}")


@check(
    "client.direct", Level.FAULT, "a direct connection to one member of a set of several",
    effect="After a fail-over this client talks to a secondary, and every write fails until it is restarted.",
    advice="Take directConnection=true out of the URI, and name several members and replicaSet=.",
)  # fmt: skip
def direct(client: Client, server: Server) -> Iterator[Found]:
    """A client that follows no fail-over."""
    if client.direct and len(server.hosts) > 1:
        yield Found("directConnection", f"The client is bound to one of {len(server.hosts)} members")


@check(
    "client.socket-timeout", Level.WARNING, "a socket timeout below 1 s",
    effect="A claim or an ending on a busy server counts as lost and is asked for again; its reply is thrown away.",
    advice="Take socketTimeoutMS out of the URI: mongoq sets 3 s.",
)  # fmt: skip
def socket_timeout(client: Client) -> Iterator[Found]:
    """A short socket timeout."""
    if client.socket_timeout is not None and client.socket_timeout < LEAST_TIMEOUT:
        yield Found("socketTimeoutMS", f"The client waits {span(client.socket_timeout)} for a reply")


@check(
    "client.pool", Level.WARNING, "a pool of connections smaller than what a worker process needs for itself",
    effect="Claims, renewals and endings wait for each other: leases may be lost on a busy worker.",
    advice="Set maxPoolSize to 10 at least, and more by the handlers that use the queue or this client.",
)  # fmt: skip
def pool(client: Client) -> Iterator[Found]:
    """A small pool of this process."""
    if client.pool is not None and client.pool < ENGINE:
        yield Found("maxPoolSize", f"This client has at most {client.pool} connections; a worker uses about {ENGINE}")
