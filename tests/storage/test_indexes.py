"""Indexes that are gone, hidden, in the way or cannot be built: what does not need them goes on, and each is named."""

from __future__ import annotations

from typing import Any

import pytest

from mongoq import DuplicateTask, IndexMissing, NewTask, Queue, StorageRefused, TaskState
from mongoq.storage.documents import indexes


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("gone", ["collection", "index"])
def test_a_unique_value_is_unique_although_its_index_was_dropped(
    queue: Queue, collection: Any, gone: str, many: bool
) -> None:
    queue.new()
    _ = collection.drop() if gone == "collection" else collection.drop_index("unique")
    new = (lambda: queue.new_many([NewTask(unique="u")])) if many else (lambda: queue.new(unique="u"))
    new()
    with pytest.raises(DuplicateTask, match="unique"):
        new()


def twice(collection: Any, queue: Queue) -> list[str]:
    """Two tasks with one `unique` value, made while nothing kept them apart, and no index at all."""
    keys = [queue.new().key for _ in range(2)]
    collection.drop_indexes()
    collection.update_many({"_id": {"$in": keys}}, {"$set": {"unique": "u"}})
    return keys


def test_an_index_that_cannot_be_built_keeps_no_other_away_and_names_what_is_in_the_way(
    queue: Queue, collection: Any
) -> None:
    keys = twice(collection, queue)
    with pytest.raises(IndexMissing, match=f"unique .*{keys[0]}, {keys[1]} have 'u'.*mongoq init"):
        queue.init()
    assert set(collection.index_information()) == {"_id_", *indexes.TASKS} - {"unique"}
    done: list[str] = []
    with Queue(collection.database, namespace=queue.namespace) as another:
        another.run(lambda task: done.append(task.key), burst=True)
    assert sorted(done) == sorted(keys)
    assert queue.init() == [f"{collection.name}.unique"]


def test_a_new_unique_value_is_refused_where_nothing_could_keep_it_unique(queue: Queue, collection: Any) -> None:
    keys = twice(collection, queue)
    with pytest.raises(IndexMissing, match=keys[0]):
        queue.new(unique="other")
    assert queue.new(queue="plain").state is TaskState.READY
    queue.cancel(keys[0])
    assert queue.init() == [f"{collection.name}.unique"]
    assert queue.new(unique="other").unique == "other"


@pytest.mark.parametrize("name", sorted(indexes.TASKS))
def test_endings_need_no_index(queue: Queue, collection: Any, name: str) -> None:
    queue.new_many([{}] * 3)
    tasks = queue.claim_many(3)
    collection.drop_index(name)
    collection.create_index([("elsewhere", 1)], name=name)  # so that it cannot be made again
    with Queue(collection.database, namespace=queue.namespace) as another:
        another.renew(tasks[0])
        another.complete(tasks[0])
        another.retry(tasks[1], "no")
        another.fail(tasks[2], "no")
        assert another.get(tasks[0].key).state is TaskState.COMPLETED


def test_a_hidden_index_is_shown_again_by_init_and_at_first_use(queue: Queue, collection: Any) -> None:
    queue.new()

    def hide() -> None:
        collection.database.command("collMod", collection.name, index={"name": "claim", "hidden": True})

    hide()
    assert queue.init() == [f"{collection.name}.claim"]
    assert queue.init() == []
    hide()
    with Queue(collection.database, namespace=queue.namespace) as another:
        assert another.try_claim() is not None


@pytest.mark.parametrize(
    "keys, options",
    [
        ([("x", 1)], {"name": "claim"}),
        (indexes.TASKS["due"][0], {"name": "mine", **indexes.TASKS["due"][1]}),
        (indexes.TASKS["purge"][0], {"name": "purge", "unique": True}),
    ],
)
def test_a_foreign_index_in_the_way_is_named(queue: Queue, collection: Any, keys: Any, options: Any) -> None:
    collection.create_index(keys, **options)
    with pytest.raises(IndexMissing, match="drop that one and run `mongoq init`") as caught:
        queue.init()
    assert options["name"] in str(caught.value)
    collection.drop_index(options["name"])
    assert queue.init()
    assert queue.init() == []


@pytest.mark.parametrize(
    "options, why",
    [
        ({"capped": True, "size": 2**20}, "is capped"),
        ({"viewOn": "elsewhere"}, "is a view"),
        ({"collation": {"locale": "de", "strength": 1}}, "has a collation"),
        ({"timeseries": {"timeField": "t"}}, "is a timeseries"),
    ],
)
def test_a_collection_of_another_kind_is_refused_by_what_it_is(
    queue: Queue, collection: Any, options: Any, why: str
) -> None:
    collection.database.create_collection(collection.name, **options)
    for call in (queue.new, queue.init, queue.try_claim):
        with pytest.raises(StorageRefused, match=f"{collection.name} {why}.*another namespace"):
            call()


@pytest.mark.parametrize("skip", [False, True])
def test_a_users_own_unique_index_is_not_taken_for_a_duplicate_task(queue: Queue, collection: Any, skip: bool) -> None:
    queue.new({"user": 7})
    collection.create_index([("tags.user", 1)], unique=True)
    with pytest.raises(StorageRefused, match=r"tags\.user is taken: .* not mongoq's"):
        queue.new({"user": 7}, on_conflict="skip" if skip else "error")
    with pytest.raises(StorageRefused, match=r"tags\.user"):
        queue.new_many([NewTask({"user": 7})])
