"""From what a user names to a database: a URI, an embedded server, or a client of the application.

A client that mongoq opens gets settings with which a frozen or lost primary costs 3 s instead of the driver's
29 s; what the URI sets itself is left alone. A client handed in keeps its own timeouts, and is refused where it does
not retry writes. In both cases the queue sets majority and primary on its own handles, whatever the URI says.
"""

from __future__ import annotations

import atexit
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, unquote

import pymongo
from bson.errors import BSONError
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.common import VALIDATORS, validate
from pymongo.database import Database
from pymongo.errors import InvalidURI, PyMongoError

from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.host.environment import setting, uri_named
from mongoq.core.host.streams import occupy_standard_streams
from mongoq.core.validation import Checker, shortened
from mongoq.storage.drivers.errors import translated

try:
    from pymongo.synchronous.monitor import _shutdown_resources as wait_for_monitors
except ImportError:  # a driver that ends in another way

    def wait_for_monitors() -> None:
        """Stand for nothing."""


if TYPE_CHECKING:
    from mongoq.embedded.server import EmbeddedServer


class OfMotor(Protocol):
    """Motor's client or its database: mongoq does not depend on Motor, so it knows them by a method of theirs."""

    def get_io_loop(self) -> Any:
        """The event loop it was made on."""


Target = str | MongoClient[Any] | Database[Any] | None
AsyncTarget = str | AsyncMongoClient[Any] | AsyncDatabase[Any] | OfMotor | None

DATABASE: Final = "mongoq"
RESERVED: Final = ("admin", "config", "local")
LONGEST_NAME: Final = 63
KNOWN: Final = frozenset(name.lower() for name in VALIDATORS)
"""The options of a URI. Only these are named in errors: a part of a password may look like an option."""
SETTINGS: Final[dict[str, Any]] = {
    "socketTimeoutMS": 3_000,
    "connectTimeoutMS": 2_000,
    "heartbeatFrequencyMS": 2_000,
    "serverSelectionTimeoutMS": 10_000,
    # A stream of news from each server tells of a fail-over no sooner (3 to 5 s with an election timeout of 2 s, both
    # ways); its second connection per server kept a stopping process for a second where that server was frozen.
    "serverMonitoringMode": "poll",
    "appname": "mongoq",
}


LAST_WORD: Final = 0.1
"""Seconds for which a client that is closed may still talk to its server."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A database to work on, and what was opened for it."""

    database: Any
    owned: MongoClient[Any] | None = None
    server: EmbeddedServer | None = None

    @property
    def where(self) -> str:
        """The hosts and the database, without any secret."""
        return f"{hosts_of(self.database.client)}/{self.database.name}"

    def close(self) -> None:
        """Close what was opened here; a client handed in stays open."""
        if self.owned is not None:
            _close_soon(self.owned)
        if self.server is not None:
            self.server.close()


def connect(target: Target) -> Connection:
    """Open what `target` names; None reads MONGOQ_URI. ConfigurationError where it names nothing."""
    if isinstance(target, MongoClient | Database):
        return Connection(checked_database(target))
    uri, server = named_server(target, 'a URI ("mongodb://...", "mongodb+srv://...", "embedded:FOLDER"), a MongoClient')
    client = _client(uri)
    return Connection(database_of(client, server), client, server)


def checked_database(target: Any) -> Any:
    """The database of a client, or the one handed in; ConfigurationError where its client does not retry writes."""
    # Asked of the type: a database takes every name for that of a collection.
    is_client = hasattr(type(target), "get_default_database")
    database = target.get_default_database(DATABASE) if is_client else target
    checked_name(database.name)
    if not database.client.options.retry_writes:
        # A primary that steps down would end every write under way with an error that leaves its effect open.
        allowed = "one with retryWrites=True, PyMongo's default: without it a fail-over loses replies of writes"
        raise ConfigurationError([Fault("target", "a client with retryWrites=False", allowed)])
    return database


def named_server(target: Any, allowed: str) -> tuple[str, EmbeddedServer | None]:
    """The URI that `target` names, and the embedded server that was started for it."""
    uri = uri_named() if target is None else setting("target", target) if isinstance(target, str) else target
    if isinstance(uri, str) and uri.startswith("embedded:"):
        folder = uri.removeprefix("embedded:")
        if not folder:
            raise ConfigurationError([Fault("target", "'embedded:'", "embedded:FOLDER, with the name of a folder")])
        from mongoq.embedded.server import open_embedded  # noqa: PLC0415 -- 10 ms that only this target needs

        server = open_embedded(folder)
        return server.uri, server
    if isinstance(uri, str) and uri.startswith(("mongodb://", "mongodb+srv://")):
        return uri, None
    if target is None:
        checker = Checker()
        checker.refuse("MONGOQ_URI", uri or "(empty)", "a MongoDB URI; name one there, or give Queue(...) one")
        checker.finish()
    raise ConfigurationError([Fault("target", _described(target), f"{allowed} or its Database")])


def _described(target: object) -> str:
    """Name the type of a target that cannot be opened, not its text: that may hold a password."""
    return f"a {type(target).__name__}"


def database_of(client: Any, server: EmbeddedServer | None) -> Any:
    """The database of a client that was opened here."""
    return client.get_default_database(DATABASE) if server is None else client[DATABASE]


def checked_name(name: str) -> str:
    """The name of a database; ConfigurationError where MongoDB gives it to no user."""
    allowed, shown = None, shortened(name)
    if name.lower() in RESERVED:
        allowed = f"one of your own; MongoDB keeps {', '.join(RESERVED)} for itself (users are in ?authSource={name})"
    elif not name.isprintable() or len(name.encode()) > LONGEST_NAME:
        # Not shown: behind a password that is not percent-encoded it may be a part of that.
        allowed, shown = f"one of at most {LONGEST_NAME} bytes, without control characters", f"a name of {len(name)}"
    if allowed:
        raise ConfigurationError([Fault("database", shown, allowed)])
    return name


def hosts_of(client: Any) -> str:
    """The hosts of a client, as it knows them."""
    settings = getattr(client, "_topology_settings", None)
    known = client.nodes or (settings.seeds if settings is not None else ())
    return ", ".join(sorted(f"{host}:{port}" for host, port in known)) or "(not looked up yet)"


def leave_monitors() -> None:
    """Let this process end without a wait for the driver's monitors, whatever client they serve.

    They look up from their sleep every 0.5 s, and from a server that does not answer after 2 s; at its end a process
    would wait for each of them for up to a second. They are daemon threads, which may end with the process.
    """
    atexit.unregister(wait_for_monitors)


def _close_soon(client: MongoClient[Any]) -> None:
    """Close a client, if need be after this returns: it tells a server which sessions end.

    Where none answers it looks for one for 10 s, and one that is frozen keeps it for 0.5 s, whatever its time limit.
    """

    def close() -> None:
        with pymongo.timeout(LAST_WORD):
            client.close()

    closing = threading.Thread(target=close, name="mongoq-close", daemon=True)
    try:
        closing.start()
    except RuntimeError:  # the interpreter is about to end and starts no thread any more
        close()
    else:
        closing.join(LAST_WORD)


def _client(uri: str) -> MongoClient[Any]:
    client: MongoClient[Any] = opened(MongoClient, uri)
    return client


def opened(kind: Any, uri: str) -> Any:
    """A client of this kind, with mongoq's settings where the URI has none of its own."""
    # The driver's own errors may quote the URI, password included: they are not chained.
    place, _, query = uri.partition("?")
    checked_name(unquote(place.partition("://")[2].rpartition("@")[2].partition("/")[2]))
    given = dict(parse_qsl(query, keep_blank_values=True))
    names = {name.lower() for name in given}
    settings = {name: value for name, value in SETTINGS.items() if name.lower() not in names}
    occupy_standard_streams()
    try:
        _refuse_options([name for name, value in given.items() if not _is_valid(name, value)])
        return kind(uri, **settings, tz_aware=True, retryWrites=True)
    except (PyMongoError, BSONError, ValueError, TypeError, OSError) as error:
        if isinstance(error, ConfigurationError):
            raise
        said = str(error).lower()
        _refuse_options([name for name in given if name.lower() in KNOWN and name.lower() in said])
        if isinstance(error, PyMongoError | BSONError):
            raise translated(error, "") from None
        raise translated(InvalidURI("Port must be"), "") from None


def _refuse_options(wrong: list[str]) -> None:
    if wrong:
        raise ConfigurationError(f"the MongoDB URI is not acceptable: check its option {', '.join(wrong)}") from None


def _is_valid(name: str, value: str) -> bool:
    """Whether the driver accepts an option by itself; it accepts what it does not know, with a warning."""
    try:
        if name.lower() in KNOWN:
            validate(name, value)
    except (PyMongoError, ValueError, TypeError, OSError):
        return False
    return True
