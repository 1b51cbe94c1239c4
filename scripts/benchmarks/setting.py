"""What a benchmark runs on: a server, the sizes asked for, and namespaces that are gone afterwards."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient
from pymongo.collection import Collection

from benchmarks import filling, raw
from mongoq import Queue


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace of its own: the queue, and the bare collection under it."""

    queue: Queue
    tasks: Collection[Any]

    def fill(self, count: int, **fields: Any) -> None:
        """Put `count` tasks into it as `new_many` would, `fields` set otherwise; not measured."""
        filling.fill(self.tasks, self.queue, count, **fields)

    def left(self) -> int:
        """How many documents it holds, from the server's metadata: it costs nothing to ask often."""
        return self.tasks.estimated_document_count()


@dataclass(frozen=True, slots=True)
class Setting:
    """What the command line asked for; each benchmark has defaults of its own."""

    uri: str
    client: MongoClient[Any]
    repeat: int | None = None
    tasks: int | None = None
    seconds: float | None = None
    processes: int | None = None

    def rounds(self, default: int = 5) -> int:
        """How many rounds count."""
        return default if self.repeat is None else self.repeat

    def count(self, default: int) -> int:
        """How many tasks a round takes."""
        return default if self.tasks is None else self.tasks

    def sizes(self, *default: int) -> tuple[int, ...]:
        """Of how many processes the fleets are."""
        return default if self.processes is None else (self.processes,)

    def duration(self, default: float) -> float:
        """For how many seconds a round watches."""
        return default if self.seconds is None else self.seconds

    def note(self, text: str) -> None:
        """Tell people what a row does not say; machines read stdout."""
        print(f"note: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def place(self, *, keep: float = 0, **options: Any) -> Iterator[Place]:
        """Give a queue in a fresh namespace, its indexes made; everything in it is dropped in the end."""
        namespace = f"bench-{secrets.token_hex(4)}"
        database = self.client.get_default_database("mongoq")  # where Queue(uri) works
        try:
            with Queue(self.uri, namespace=namespace, keep_completed=keep, **options) as queue:
                queue.init()
                yield Place(queue, raw.collection(database, f"{namespace}.tasks"))
        finally:
            for name in database.list_collection_names(filter={"name": {"$regex": rf"^{namespace}\."}}):
                database.drop_collection(name)
