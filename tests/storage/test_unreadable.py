"""BSON that the server stores and the driver cannot decode: refused where it is ours, set aside where it is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef
from bson.raw_bson import RawBSONDocument

from mongoq import InvalidTask, NewTask, TaskState
from mongoq.core.judging.verdict import Returned
from mongoq.storage.operations import sweep

SHORT_UUID = Binary(b"x", 4)
OLD_BINARY = b"\x05v\0\x05\0\0\0\x02\x09\0\0\0x"
"""An element named `v`: a binary of subtype 2 whose inner length is wrong."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def foreign(key: Any = "bad", **fields: Any) -> dict[str, Any]:
    good = {"queue": "default", "state": "ready", "priority": 9, "run_at": LONG_AGO, "tags": {}, "version": 1}
    return {"_id": key, **good, **fields}


def with_element(element: bytes) -> RawBSONDocument:
    whole = bson.encode(foreign())
    return RawBSONDocument((len(whole) + len(element)).to_bytes(4, "little") + whole[4:-1] + element + b"\0")


@pytest.mark.parametrize(
    "value",
    [SHORT_UUID, Binary(b"", 4), [{"a": SHORT_UUID}], Code("x", {"a": SHORT_UUID}), DBRef("c", SHORT_UUID)],
    ids=str,
)
def test_what_cannot_be_decoded_is_refused_as_tag_payload_and_result(store: Any, value: Any) -> None:
    for options in ({"tags": {"v": value}}, {"payload": value}):
        with pytest.raises(InvalidTask):
            store.new(**options)
    store.new()
    [task] = store.claim()
    with pytest.raises(InvalidTask):
        store.end(task, Returned(value))
    assert store.collection.count_documents({}) == 1


def test_what_can_be_decoded_is_accepted(store: Any) -> None:
    value = [Binary(b"x" * 16, 4), Binary(b"x", 2), Binary(b"x", 9)]
    store.new(payload=value)
    assert store.claim()[0].payload[1:] == value[1:]


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("field", [{"tags": {"v": SHORT_UUID}}, {"payload": [1, SHORT_UUID]}, {"attempts": SHORT_UUID}])
def test_a_claim_sets_it_aside_and_takes_the_others(store: Any, by_hand: bool, field: dict[str, Any]) -> None:
    passes(store, by_hand, foreign(**field), next(iter(field)))


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_key_that_cannot_be_decoded_is_set_aside_too(store: Any, by_hand: bool) -> None:
    passes(store, by_hand, foreign(SHORT_UUID), "_id")


def passes(store: Any, by_hand: bool, document: dict[str, Any], field: str) -> None:
    store.collection.insert_one(document)
    good = store.new().key
    claimed = [store.claim_one()] if by_hand else store.claim(10) or store.claim(10)

    assert [task.key for task in claimed if task] == [good]
    shown = {task.note: task for task in store.list()}
    note = f"not a task: the field {field} holds BSON that cannot be decoded"
    assert shown[note].state is TaskState.FAILED


@pytest.mark.parametrize("state", ["scheduled", "running"])
def test_a_sweep_passes_it(store: Any, state: str) -> None:
    store.collection.insert_one(
        foreign(state=state, hold={"until": LONG_AGO, "token": "t"}, policy={"lease": SHORT_UUID})
    )
    store.run(sweep.sweep(store.context))
    good = store.new().key
    assert [task.key for task in (store.claim(5) or store.claim(5))] == [good]
    assert store.get("bad").state is TaskState.FAILED


def test_an_unreadable_document_is_shown_with_bytes_in_place_of_what_is_unreadable(store: Any) -> None:
    store.collection.insert_one(foreign(payload={"a": [1, SHORT_UUID], "b": "text"}))
    assert store.get("bad").payload == {"a": [1, b"\1\0\0\0\4x"], "b": "text"}
    assert [task.key for task in store.list()] == ["bad"]


def test_every_document_around_an_old_binary_is_read(store: Any) -> None:
    store.collection.insert_one(with_element(OLD_BINARY))
    store.new_many([NewTask() for _ in range(20)])
    taken = store.claim(21) + store.claim(21)
    assert len(taken) == 20
    assert store.get("bad").note == "not a task: the field v holds BSON that cannot be decoded"
