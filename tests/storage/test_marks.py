"""What a write leaves behind, and what it must not touch: found missing by seeded faults."""

from __future__ import annotations

from typing import Any

from pymongo import ReadPreference

from mongoq.storage.documents import indexes
from mongoq.storage.drivers.handles import Handles
from mongoq.storage.operations import bulk, sweep


def test_a_rescue_leaves_no_mark_of_an_ending(store: Any) -> None:
    key = store.new().key
    store.claim()
    store.clock.advance(60)
    store.run(sweep.rescue(store.context))
    assert "last_token" not in store.document(key)


def test_a_cancel_request_leaves_the_version_of_what_its_worker_writes(store: Any) -> None:
    key = store.new().key
    store.claim()
    before = store.document(key)["version"]
    store.run(bulk.cancel(store.context, key))
    assert store.document(key)["version"] == before


def test_the_server_deletes_by_the_purge_date_alone() -> None:
    deleting = [keys for keys, options in indexes.TASKS.values() if "expireAfterSeconds" in options]
    assert deleting == [[("purge_at", 1)]]


def test_every_read_asks_the_primary(store: Any) -> None:
    for majority in (False, True):
        assert Handles(store.connection.database).of("t", majority=majority).read_preference == ReadPreference.PRIMARY
