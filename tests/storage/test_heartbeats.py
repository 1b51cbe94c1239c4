"""Heartbeats of processes that serve many queues."""

from __future__ import annotations

from typing import Any

import bson

from mongoq.storage.commands import Aggregate, UpdateMany
from mongoq.storage.operations.fleet import heartbeat
from tests.storage.conftest import Store

MANY = [f"tenant/{number:05}" for number in range(10_000)]
FACTS = {"host": "h", "pid": 1, "workers": 2, "place": 7, "idle": True, "watching": False, "running": 0, "covers": []}


def sent(store: Store, op: Any) -> list[Any]:
    """The commands of an operation, each answered by the server."""
    commands: list[Any] = []
    reply = None
    while True:
        try:
            commands.append(op.send(reply))
        except StopIteration:
            return commands
        reply = store.run(one(commands[-1]))


def one(command: Any) -> Any:
    return (yield command)


def test_names_of_many_queues_are_sent_once(store: Store) -> None:
    first = sent(store, heartbeat.beat(store.context, "w", {**FACTS, "queues": MANY}))
    assert [bool(command.upsert) for command in first] == [False, True]
    again = sent(store, heartbeat.beat(store.context, "w", {**FACTS, "running": 3, "queues": MANY}))
    assert len(again) == 1
    assert isinstance(again[0], UpdateMany)
    assert len(bson.encode({"": again[0].update})) < 500
    [info] = store.run(heartbeat.workers(store.context))
    assert (info.running, len(info.queues)) == (3, 10_000)
    sent(store, heartbeat.beat(store.context, "w", {**FACTS, "queues": MANY[1:]}))
    [info] = store.run(heartbeat.workers(store.context))
    assert len(info.queues) == 9_999


def test_names_of_many_queues_are_read_once(store: Store) -> None:
    known: dict[str, Any] = {}
    for worker in ("a", "b"):
        store.run(heartbeat.beat(store.context, worker, {**FACTS, "queues": MANY}))
    store.run(heartbeat.beat(store.context, "c", {**FACTS, "queues": ["mail"]}))
    for _ in range(2):
        look = store.run(heartbeat.read_others(store.context, "me", 100, known))
        assert {idle.worker: len(idle.queues) for idle in look.idle} == {"a": 10_000, "b": 10_000, "c": 1}
    assert len(known) == 1
    [command] = sent(store, heartbeat.read_others(store.context, "me", 100, known))
    assert isinstance(command, Aggregate)
    rows = store.run(one(command))
    assert sum(len(bson.encode(row)) for row in rows) < 2_000
    for worker in ("a", "b"):
        store.run(heartbeat.leave(store.context, worker))
    store.run(heartbeat.read_others(store.context, "me", 100, known))
    assert known == {}
