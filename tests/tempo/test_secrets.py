"""Secrets at rest: what handlers and producers say is encrypted in the database, and plain everywhere else."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import bson
import pytest
from cryptography.fernet import Fernet
from pymongo import MongoClient

from mongoq import Attempt, ConfigurationError, Fail, NewTask, Queue, Task, Tasks, TaskState
from mongoq.encryption import fernet_codec
from proving.tempos import Face

Make = Callable[..., Face]
SECRET = "hunter2-4111-1111"
KEYS = {"new": Fernet.generate_key(), "old": Fernet.generate_key()}


@pytest.fixture
def codec() -> Any:
    return fernet_codec(KEYS)


@pytest.fixture
def stored(uri: str) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Give the documents of a namespace as they lie in the database, in all of its collections."""
    with MongoClient[dict[str, Any]](uri) as client:
        database = client["mongoq"]

        def documents(namespace: str) -> list[dict[str, Any]]:
            names = [name for name in database.list_collection_names() if name.startswith(f"{namespace}.")]
            return [document for name in names for document in database[name].find()]

        yield documents


def holds(documents: list[dict[str, Any]], secret: str = SECRET) -> bool:
    return any(secret.encode() in bson.encode(document) for document in documents)


def handler(attempt: Attempt, task: Task) -> dict[str, Any]:
    attempt.progress(0.5, f"looking at {SECRET}")
    attempt.log(f"found {SECRET}")
    assert task.payload["card"] == SECRET
    if task.tags.get("fails"):
        raise Fail(f"no money on {SECRET}") from ValueError(SECRET)
    return {"paid by": SECRET, "attempts": task.attempts}


def test_what_a_task_holds_is_encrypted_in_the_database_and_plain_for_all_who_have_the_key(
    make: Make, make_queue: Callable[..., Queue], codec: Any, stored: Any
) -> None:
    queue = make(codec=codec)
    worker = make_queue(namespace=queue.namespace, codec=codec, max_retries=0)
    good, bad = (queue.new({"fails": fails}, payload={"card": SECRET}).key for fails in (False, True))
    queue.new_many([NewTask({"n": n}, payload={"card": SECRET}) for n in range(3)])
    assert not holds(stored(queue.namespace)), "while it waits"
    worker.run(handler, burst=True)
    assert not holds(stored(queue.namespace)), "when it has ended"
    (document,) = (one for one in stored(queue.namespace) if one["_id"] == good)
    assert document["payload"].keys() == {"_sealed", "data"}
    assert document["payload"]["_sealed"] == document["result"]["_sealed"] == "new"
    done, failed = queue.get(good), queue.get(bad)
    assert (done.payload, done.result) == ({"card": SECRET}, {"paid by": SECRET, "attempts": 1})
    assert done.progress.message == f"looking at {SECRET}"
    assert [line.text for line in done.progress.log] == [f"found {SECRET}"]
    assert (failed.state, failed.note) == (TaskState.FAILED, f"no money on {SECRET}")
    assert SECRET in failed.last_error.message
    assert SECRET in failed.last_error.traceback
    assert failed.errors == (failed.last_error,)
    assert failed.last_error.type == "ValueError"
    assert len([task for task in queue.tasks() if task.result]) == 4


def test_a_task_can_be_changed_rerun_and_waited_for_as_ever(
    make: Make, make_queue: Callable[..., Queue], codec: Any, stored: Any
) -> None:
    queue = make(codec=codec)
    worker = make_queue(namespace=queue.namespace, codec=codec, max_retries=0)
    task = queue.new(payload="old", key="a", unique="u")
    queue.update("a", payload={"card": SECRET}, tags={"fails": True})
    queue.modify(change=[queue.get("a").as_change(payload={"card": SECRET})])
    queue.new({"fails": True}, payload={"card": SECRET}, unique="u", on_conflict="replace")
    assert not holds(stored(queue.namespace))
    worker.run(handler, burst=True)
    assert queue.rerun("a").last_error.message.endswith(SECRET)
    queue.update("a", tags={"fails": None})
    worker.run(handler, burst=True)
    assert queue.wait(task, timeout=30).result == {"paid by": SECRET, "attempts": 2}
    assert not holds(stored(queue.namespace))


def test_a_request_for_one_more_run_is_encrypted_too(make_queue: Callable[..., Queue], codec: Any, stored: Any) -> None:
    queue = make_queue(codec=codec)
    queue.new(payload="first", unique="u")
    task = queue.claim(timeout=60)
    assert task is not None
    queue.new(payload=SECRET, unique="u", on_conflict="replace")
    assert not holds(stored(queue.namespace))
    queue.complete(task)
    again = queue.claim(timeout=60)
    assert again is not None
    assert again.payload == SECRET


def test_the_arguments_that_a_function_marks_are_encrypted_and_no_filter_finds_them(
    make_queue: Callable[..., Queue], codec: Any, stored: Any
) -> None:
    queue = make_queue(codec=codec, workers=1)
    seen: list[Any] = []

    @queue.task(secret=["card"])
    def charge(order: int, card: str) -> None:
        seen.append((order, card))

    charge.new(7, SECRET)
    queue.new_many([charge.call(8, card=SECRET)])
    assert not holds(stored(queue.namespace))
    assert queue.tasks(where={"order": 7})[0].tags == {"order": 7, "card": SECRET}
    for call in (
        lambda: queue.tasks(where={"card": SECRET}),
        lambda: queue.count(where={"card": SECRET}),
        lambda: queue.cancel_all(where={"card": SECRET}),
        lambda: queue.claim(timeout=0, where={"card": SECRET}),
        lambda: queue.start(where={"card": SECRET}),
    ):
        with pytest.raises(ConfigurationError, match="where: card is not a tag to filter by"):
            call()
    queue.run(burst=True)
    assert sorted(seen) == [(7, SECRET), (8, SECRET)]


def test_secrets_need_a_codec(make_queue: Callable[..., Queue]) -> None:
    queue = make_queue()
    tasks = Tasks()

    @tasks.task(secret=["card"])
    def charge(card: str) -> None: ...

    queue.include(tasks)
    with pytest.raises(ConfigurationError, match="secret: card is not possible on a queue without codec="):
        charge.new(SECRET)
    assert queue.size() == 0
    with pytest.raises(ConfigurationError, match=r"secret: \['cart'\] is not a list of arguments of pay \(card\)"):

        @tasks.task(secret=["cart"])
        def pay(card: str) -> None: ...


def test_a_key_is_rotated_without_a_stop(make_queue: Callable[..., Queue], stored: Any) -> None:
    before = make_queue(codec=fernet_codec({"old": KEYS["old"]}))
    before.new(payload="written before", key="a")
    after = make_queue(namespace=before.namespace, codec=fernet_codec(KEYS))
    after.new(payload="written after", key="b")
    assert {document["payload"]["_sealed"] for document in stored(before.namespace) if "payload" in document} == {
        "old", "new",
    }  # fmt: skip
    assert [task.payload for task in after.tasks()] == ["written before", "written after"]


def test_what_cannot_be_decrypted_stops_nothing_else_and_is_not_lost(
    make_queue: Callable[..., Queue], codec: Any, caplog: pytest.LogCaptureFixture
) -> None:
    queue = make_queue(codec=codec)
    stranger = make_queue(namespace=queue.namespace, codec=fernet_codec({"other": Fernet.generate_key()}))
    plain = make_queue(namespace=queue.namespace)
    queue.new(payload=SECRET, key="sealed")
    stranger.new(payload="mine", key="own")
    with caplog.at_level(logging.WARNING, "mongoq"):
        found = {task.key: task.payload for task in stranger.tasks()}
        stranger.tasks()
    assert found["own"] == "mine"
    assert found["sealed"]["_sealed"] == "new"
    [line] = caplog.records
    assert line.getMessage() == "what was encrypted with the key 'new' cannot be read here: KeyError"
    copied = stranger.new(plain.get("sealed").again(key="copy"))
    assert queue.get(copied.key).payload == SECRET, "it is stored as it was found"
    assert SECRET not in json.dumps(plain.get("sealed").to_dict())


@pytest.mark.parametrize("keys", [None, {"other": Fernet.generate_key()}])
def test_who_has_not_the_key_runs_no_task_that_is_encrypted_with_it(
    make_queue: Callable[..., Queue], codec: Any, caplog: pytest.LogCaptureFixture, keys: Any
) -> None:
    queue = make_queue(codec=codec)

    @queue.task(secret=["card"])
    def charge(order: int, card: str) -> None: ...

    stranger = make_queue(namespace=queue.namespace, codec=keys and fernet_codec(keys))
    queue.new(payload=SECRET, key="payload")
    charge.options(key="tag").new(7, SECRET)
    queue.new({"n": 1}, key="plain")
    ran: list[str] = []
    with caplog.at_level(logging.WARNING, "mongoq.worker"):
        stranger.run(lambda task: ran.append(task.key), burst=True)
        assert stranger.try_claim() is None
    assert ran == ["plain"]
    assert "have secrets of the key 'new', which this process lacks: it runs none of them" in caplog.text
    for key in ("payload", "tag"):
        put_off = queue.get(key)
        assert (put_off.state, put_off.charged) == (TaskState.SCHEDULED, 0)
        queue.update(key, delay=0)
    assert stranger.try_claim() is None, "nor by hand"
    for key in ("payload", "tag"):
        queue.update(key, delay=0)
    queue.run(lambda task: ran.append(task.payload or task.tags["card"]), burst=True)
    assert ran == ["plain", SECRET, SECRET]
    assert queue.get("payload").charged == 1


def test_what_follows_a_task_keeps_its_secrets(make_queue: Callable[..., Queue], codec: Any, stored: Any) -> None:
    queue = make_queue(codec=codec, workers=1)
    got: list[Any] = []

    @queue.task
    def told(card: str) -> None:
        got.append(card)

    @queue.task(secret=["card"])
    def charge(card: str) -> str:
        return f"charged {card}"

    charge.options(on_complete=told.call(SECRET)).new(SECRET)
    assert not holds(stored(queue.namespace)), "while it waits"
    queue.run(burst=True)
    assert got == [SECRET]
    [follow_up] = [task for task in queue.tasks() if task.name == "told"]
    assert follow_up.payload["result"] == f"charged {SECRET}"
    assert not holds(stored(queue.namespace)), "when all has ended"


def test_a_batch_keeps_the_secrets_of_its_callback(make_queue: Callable[..., Queue], codec: Any, stored: Any) -> None:
    queue = make_queue(codec=codec, workers=1)
    paid: list[str] = []

    @queue.task(secret=["card"])
    def pay(card: str) -> None:
        paid.append(card)

    with queue.batch(then=pay.call(SECRET)) as batch:
        batch.new_many([pay.call(SECRET)] * 2)
    assert not holds(stored(queue.namespace)), "while it waits"
    queue.run(burst=True)
    assert paid == [SECRET] * 3
    assert not holds(stored(queue.namespace)), "when all has ended"


def test_tasks_from_before_the_codec_are_read_as_they_are(make_queue: Callable[..., Queue], codec: Any) -> None:
    plain = make_queue()
    plain.new(payload={"card": 1}, key="a")
    assert make_queue(namespace=plain.namespace, codec=codec).get("a").payload == {"card": 1}


def reverse(data: bytes) -> tuple[str, bytes]:
    return "mirror", data[::-1]


def test_a_pair_of_functions_is_a_codec(make_queue: Callable[..., Queue], stored: Any) -> None:
    queue = make_queue(codec=(reverse, lambda key, data: data[::-1] if key == "mirror" else b""))
    queue.new(payload=SECRET)
    assert not holds(stored(queue.namespace))
    assert queue.tasks()[0].payload == SECRET


@pytest.mark.parametrize(
    "codec, told",
    [
        ("rot13", "codec: 'rot13' is not a pair of functions"),
        ((reverse,), "a pair of functions"),
        ((reverse, lambda key, data: data), "which give back what they were given"),
        ((lambda data: data, lambda key, data: data), "a pair of functions"),
        ((lambda data: ("", data), lambda key, data: data), "a key id of text"),
        ((reverse, lambda key, data: 1 / 0), "it raised ZeroDivisionError"),
    ],
)
def test_a_codec_that_does_not_work_is_refused_at_once(codec: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Queue("mongodb://nowhere", codec=codec)


@pytest.mark.parametrize("keys", [{}, {"a": "short"}, {"a": 7}, "key"])
def test_a_key_that_is_none_is_refused_without_being_told(keys: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        fernet_codec(keys)
    assert "short" not in str(refused.value)
