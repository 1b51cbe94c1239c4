"""The queue of a backend, as its settings make it: one for each alias in a process."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from typing import Any, Final

from django.db import connections

from mongoq import ConfigurationError, Fault, Queue
from mongoq.contrib.django import compat

__all__ = ["get_queue", "get_session"]

NO_RETRIES: Final[Mapping[str, Any]] = {"max_retries": 0}
"""A task of Django's has failed when its function has raised, unless the settings say otherwise."""
_OPEN: Final[dict[tuple[str, int], Queue]] = {}
_OPENING: Final = threading.Lock()


def get_queue(alias: str = "default") -> Queue:
    """The queue of a backend of the settings, made at the first call in this process, and closed when that ends.

    For what Django's tasks have no word for: `get_queue().stats()`, `@get_queue().task`, `get_queue().batch(...)`.

    Raises ConfigurationError where the backend is not mongoq's, or an option of it is not acceptable.
    """
    key = (alias, os.getpid())
    with _OPENING:
        queue = _OPEN.get(key)
        if queue is None or queue._base.closed:  # noqa: SLF001 -- of our own
            queue = _OPEN[key] = _opened(alias, options_of(alias))
            atexit.register(queue.close)
        return queue


def get_session(alias: str = "default") -> Any:
    """The session of `django_mongodb_backend.transaction.atomic()`, where one is open on the queue's database; or None.

    `enqueue` takes part in it by itself; `get_queue().new({...}, session=get_session())` does by this.
    """
    database = options_of(alias).get("database")
    if database is None:
        return None
    connection: Any = connections[database]
    return connection.session if getattr(connection, "in_atomic_block_mongo", False) else None


def options_of(alias: str) -> Mapping[str, Any]:
    """The OPTIONS of a backend; ConfigurationError where it is not mongoq's."""
    backend = compat.task_backends()[alias]
    if not getattr(backend, "is_mongoq", False):
        allowed = "the alias of a backend with BACKEND = 'mongoq.contrib.django.MongoqBackend'"
        raise ConfigurationError([Fault("alias", repr(alias), allowed)])
    options: Mapping[str, Any] = backend.options
    return options


def _opened(alias: str, options: Mapping[str, Any]) -> Queue:
    from mongoq.contrib.django.running import hooked  # noqa: PLC0415 -- it runs what this opens

    given = dict(options)
    uri, database = given.pop("uri", None), given.pop("database", None)
    if uri is not None and database is not None:
        allowed = "given alone: the database has its own"
        raise ConfigurationError([Fault(f"TASKS[{alias!r}] OPTIONS uri", "a URI beside a database", allowed)])
    target = uri if database is None else _database(alias, database)
    return hooked(alias, Queue(target, **{**NO_RETRIES, **given}))


def _database(alias: str, name: str) -> Any:
    """The database of an alias of DATABASES; all connections of a process share its client."""
    connection: Any = connections[name]
    if connection.vendor != "mongodb":
        allowed = "the alias of a database with ENGINE = 'django_mongodb_backend'; for others give a uri"
        raise ConfigurationError([Fault(f"TASKS[{alias!r}] OPTIONS database", repr(name), allowed)])
    return connection.database
