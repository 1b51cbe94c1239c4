"""The version of a namespace's format: stored at first use, and a process that is too old stops."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mongoq import NewerFormat
from mongoq.limiting.limit import Limit
from mongoq.storage.commands import find_one
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.namespace import format_version, orders
from mongoq.storage.operations.namespace.format_version import FORMAT, LIMITS, OLDEST_READER


def stored(store: Any) -> Any:
    return store.run(find_one(store.context.control, {"_id": "format"}))


def rewrite(store: Any, **values: Any) -> None:
    store.collection.database[store.context.control].update_one({"_id": "format"}, {"$set": values})


def test_the_first_use_of_a_namespace_notes_the_version_of_its_format(store: Any) -> None:
    for _ in range(2):
        store.run(format_version.check(store.context))
        assert stored(store) == {"_id": "format", "version": FORMAT, "oldest_reader": OLDEST_READER}


def test_a_process_that_is_too_old_to_read_the_tasks_is_refused(store: Any) -> None:
    store.run(format_version.check(store.context))
    rewrite(store, version=FORMAT + 2, oldest_reader=FORMAT + 1)
    told = f"tasks of format {FORMAT + 2}, for a mongoq that reads format {FORMAT + 1}; this one reads {FORMAT}"
    with pytest.raises(NewerFormat, match=re.escape(told)):
        store.run(format_version.check(store.context))
    assert stored(store)["version"] == FORMAT + 2, "it changes nothing"


def test_a_newer_format_that_old_processes_can_read_refuses_nobody(store: Any) -> None:
    store.run(format_version.check(store.context))
    rewrite(store, version=FORMAT + 1)
    store.run(format_version.check(store.context))
    assert stored(store)["version"] == FORMAT + 1


@pytest.mark.parametrize("older", [0, None, "1"])
def test_an_older_version_and_one_that_is_none_are_overwritten(store: Any, older: Any) -> None:
    store.run(format_version.check(store.context))
    rewrite(store, version=older)
    store.run(format_version.check(store.context))
    assert stored(store)["version"] == FORMAT


def test_a_limit_keeps_out_who_would_not_heed_it(store: Any) -> None:
    store.run(format_version.check(store.context))
    store.run(keeping.put(store.context, Limit("stripe", 1), "me"))
    assert stored(store) == {"_id": "format", "version": FORMAT, "oldest_reader": LIMITS}

    store.run(format_version.check(store.context))
    rewrite(store, oldest_reader=FORMAT + 1)
    store.run(format_version.require(store.context, LIMITS))
    assert stored(store)["oldest_reader"] == FORMAT + 1, "it is never lowered"


def test_the_orders_bring_the_version_with_them(store: Any) -> None:
    gate = store.context.gate
    store.run(orders.read(store.context))
    assert not gate.readable, "nobody has noted it yet"
    store.run(format_version.check(store.context))
    store.run(orders.read(store.context))
    assert gate.readable
    rewrite(store, version=FORMAT + 2, oldest_reader=FORMAT + 1)
    store.run(orders.read(store.context))
    assert not gate.readable
