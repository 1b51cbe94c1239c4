from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pymongo import MongoClient, monitoring

from mongoq import IndexMissing, Queue, QueueClosed, QueueStats, StorageUnavailable, TaskNotFound, Tasks, TaskState
from mongoq.core.judging.verdict import Returned
from mongoq.core.lifecycle import LIVE
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.commands import Op
from mongoq.storage.control import Transact
from mongoq.storage.documents import filters, indexes
from mongoq.storage.operations import bulk, queries, schema, sweep


def test_the_first_task_of_a_namespace_brings_its_indexes(queue: Queue, collection: Any) -> None:
    queue.new()

    assert set(collection.index_information()) == {"_id_", *indexes.TASKS}
    assert queue.init() == []


def test_looking_at_a_namespace_does_not_make_it(queue: Queue, collection: Any) -> None:
    assert queue.stats() == {}
    assert not queue.workers()
    assert not queue.tasks()
    assert queue.size() == 0
    assert collection.name not in collection.database.list_collection_names()


def test_a_large_collection_without_an_index_is_left_to_init(
    queue: Queue, collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "SMALL", 1_000)
    queue.new_many([{}] * 1_500)
    collection.drop_index("claim")

    with Queue(collection.database, namespace=queue.namespace) as another:
        another.new()
        with pytest.raises(IndexMissing, match="lacks the index claim; `mongoq init`"):
            another.try_claim()
        assert another.init() == [f"{collection.name}.claim"]
        assert another.try_claim() is not None


FUNCTIONS = Tasks()


@FUNCTIONS.task
def welcome() -> None: ...


def work_by_names(queue: Queue) -> None:
    queue.include(FUNCTIONS)
    queue.start(workers=1).stop()


@pytest.mark.parametrize(
    "use, lacked",
    [
        (work_by_names, "claim_name"),
        (lambda queue: queue.limit("stripe", concurrency=1), "slots"),
        (lambda queue: queue.new(after=["parent"]), "parents"),
    ],
)
def test_init_builds_what_was_lacked_at_the_first_use_of_a_large_collection(
    queue: Queue, collection: Any, monkeypatch: pytest.MonkeyPatch, use: Callable[[Queue], Any], lacked: str
) -> None:
    monkeypatch.setattr(schema, "SMALL", 10)
    queue.new(key="parent")
    queue.new_many([{}] * 20)
    assert queue.init() == [], "nothing is built for what nobody uses"
    with Queue(collection.database, namespace=queue.namespace) as another:
        with pytest.raises(IndexMissing, match=lacked):
            use(another)
        assert f"{collection.name}.{lacked}" in queue.init()
        use(another)


def test_init_builds_the_index_of_fair_shares_that_a_queue_with_them_lacked(
    queue: Queue, collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "SMALL", 10)
    queue.new_many([{}] * 20)
    with Queue(collection.database, namespace=queue.namespace, fair_share=1.0) as fair:
        with pytest.raises(IndexMissing, match="age"):
            fair.try_claim()
        assert queue.init() == [f"{collection.name}.age"]
        assert fair.try_claim() is not None


def test_a_client_handed_in_stays_open_and_its_settings_do_not_weaken_the_queue(server: EmbeddedServer) -> None:
    weak: MongoClient[dict[str, Any]] = MongoClient(f"{server.uri}&w=1&readPreference=secondary", tz_aware=False)
    with weak:
        with Queue(weak, namespace=f"t-{secrets.token_hex(4)}") as queue:
            task = queue.new()
            assert queue.get(task.key).created_at.tzinfo is not None
        assert weak.admin.command("ping")["ok"] == 1
        with pytest.raises(QueueClosed):
            queue.new()


def test_every_write_asks_for_a_majority(store: Any, server: EmbeddedServer) -> None:
    concerns: dict[str, Any] = {}

    class Listener(monitoring.CommandListener):
        def started(self, event: monitoring.CommandStartedEvent) -> None:
            concerns[event.command_name] = event.command.get("writeConcern")

        def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
            pass

        def failed(self, event: monitoring.CommandFailedEvent) -> None:
            pass

    with MongoClient[dict[str, Any]](f"{server.uri}&w=1", event_listeners=[Listener()]) as client:
        queue = Queue(client, namespace=store.context.namespace)
        queue.new()
        task = queue.try_claim()
        assert task is not None
        queue.complete(task)
    for name in ("insert", "findAndModify", "update"):
        assert concerns[name] == {"w": "majority", "wtimeout": 10_000}, name


def test_the_servers_time_is_near_this_hosts(queue: Queue) -> None:
    assert abs(queue.time() - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_waiting_task_is_cancelled_at_once_and_a_finished_one_stays(store: Any) -> None:
    waiting, done = store.new(delay=60).key, store.new().key
    store.end(store.claim()[0], Returned())

    assert store.run(bulk.cancel(store.context, waiting)).state is TaskState.CANCELLED
    assert store.run(bulk.cancel(store.context, done)).state is TaskState.COMPLETED
    with pytest.raises(TaskNotFound, match="nobody"):
        store.run(bulk.cancel(store.context, "nobody"))


def test_stats_count_every_state_of_every_queue(store: Any) -> None:
    store.new(queue="a", run_at=store.clock.now() - timedelta(seconds=90))
    store.new(queue="a", priority=9)
    store.new(queue="b", delay=5)
    for queue in ("c", "c", "c"):
        store.new(queue=queue)
    first, _ = store.claim(2, queues=("c",))
    store.end(first, Returned())

    assert store.run(queries.stats(store.context, {}, attempts=False)) == {
        "a": QueueStats("a", ready=2, oldest_ready=timedelta(seconds=90)),
        "b": QueueStats("b", scheduled=1),
        "c": QueueStats("c", ready=1, running=1, completed=1, oldest_ready=timedelta(0)),
    }


def test_size_counts_what_is_not_finished(queue: Queue) -> None:
    queue.new_many([{}] * 3, queue="a")
    queue.new(queue="b", delay=60)
    task = queue.try_claim("a")
    assert task is not None
    assert (queue.size(), queue.size("a"), queue.size("none")) == (4, 3, 0)
    queue.complete(task)
    assert (queue.size(), queue.queues()) == (3, {"a": 2, "b": 1})


def test_a_listing_filters_by_queue_state_key_and_tag(queue: Queue) -> None:
    one = queue.new({"tenant": "acme", "n": 1}, queue="a")
    two = queue.new({"tenant": "acme", "n": 2}, queue="b", delay=60)
    queue.new({"tenant": "other"}, queue="b")

    assert [task.key for task in queue.tasks(where={"tenant": "acme"})] == [one.key, two.key]
    assert [task.key for task in queue.tasks(queue="b", state="scheduled")] == [two.key]
    assert [task.key for task in queue.tasks(keys=[one.key, "nobody"])] == [one.key]
    assert len(queue.tasks(limit=2)) == 2
    with pytest.raises(ValueError, match="where"):
        queue.tasks(where={"$where": "1"})
    with pytest.raises(ValueError, match="did you mean 'ready'"):
        queue.tasks(state="raedy")


def test_a_value_like_an_operator_is_only_a_value(queue: Queue) -> None:
    queue.new({"n": 1})
    with pytest.raises(ValueError, match="starts with no"):
        queue.tasks(where={"n": {"$gt": 0}})


def test_an_unreachable_server_is_named_without_its_secrets() -> None:
    uri = "mongodb://user:canary@127.0.0.1:9/?serverSelectionTimeoutMS=200&authSource=admin"
    with Queue(uri) as queue:
        with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:9") as caught:
            queue.new()
        assert "canary" not in str(caught.value) + repr(queue)


def test_stats_and_queues_can_be_asked_of_some_queues(queue: Queue) -> None:
    for name in ("mail/a", "mail/b", "mai", "mail.c", "other"):
        queue.new(queue=name)
        queue.new(queue=name, delay=60)
    task = queue.try_claim("mail/a")
    assert task is not None
    assert queue.queues(prefix="mail/") == {"mail/a": 2, "mail/b": 2}
    assert queue.queues(exact="other") == {"other": 2}
    assert queue.queues(exact=["other", "mai", "none"], limit=1) == {"mai": 2}
    assert queue.stats("mail/a")["mail/a"].running == 1
    assert len(queue.stats()) == 5
    wrong: list[dict[str, Any]] = [{"prefix": ""}, {"exact": []}, {"limit": 0}]
    for options in wrong:
        with pytest.raises(ValueError, match="is not"):
            queue.queues(**options)


def test_stats_tell_the_highest_count_of_attempts_where_they_are_asked(queue: Queue) -> None:
    queue.new(queue="a")
    queue.new(queue="a", delay=60)
    for _ in range(3):
        queue.release(queue.claim_many(1, "a"))
    queue.complete(queue.claim_many(1, "a"))
    queue.new(queue="b")
    queue.claim_many(1, "b")
    assert {name: row.most_attempts for name, row in queue.stats(attempts=True).items()} == {"a": 0, "b": 1}
    queue.release(queue.tasks(mine=True))
    queue.claim_many(1, "b")
    rows = queue.stats(attempts=True)
    assert rows["b"].most_attempts == 2
    assert (rows["a"].size, rows["b"].size) == (1, 1)
    assert queue.stats()["b"].most_attempts is None


def test_a_listing_may_leave_payloads_out_and_ask_who_holds_what(queue: Queue) -> None:
    queue.new(payload=b"x" * 1000)
    queue.new(payload=b"y")
    task = queue.try_claim(claimant="me")
    assert task is not None
    assert {one.payload for one in queue.tasks(payload=False)} == {None}
    assert [one.key for one in queue.tasks(claimant="me")] == [task.key]
    assert queue.tasks(mine=True) == []
    queue.release(task)
    assert queue.tasks(claimant="me") == []


def test_count_counts_what_matches(queue: Queue) -> None:
    queue.new_many([{"n": 1}] * 3, queue="a")
    queue.new({"n": 2}, queue="a", delay=60)
    assert (queue.count(), queue.count(queue="a", state="ready"), queue.count(where={"n": 2})) == (4, 3, 1)
    assert queue.count(queue="none") == 0


def meddled(op: Op[Any], meddle: Callable[[], object]) -> Op[Any]:
    """The same operation, with something done before its second command."""
    try:
        command = next(op)
        for number in itertools.count():
            if isinstance(command, Transact):
                command = replace(command, body=partial(lambda body: meddled(body(), meddle), command.body))
            elif number == 1:
                meddle()
            command = op.send((yield command))
    except StopIteration as done:
        return done.value


def test_a_task_that_moves_meanwhile_is_counted_once_and_does_not_hide(store: Any) -> None:
    def promote() -> None:
        store.clock.advance(60)
        assert store.run(sweep.promote(store.context)).moved == 1

    for look, seen in (
        (queries.size(store.context, None, LIVE), 1),
        (queries.empty(store.context, filters.named()), False),
    ):
        key = store.new(delay=60).key
        assert store.run(meddled(look, promote)) == seen
        assert store.get(key).state is TaskState.READY
        store.end(store.claim()[0], Returned())
