"""What the driver sees to, whatever the operation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mongoq import StorageUnavailable
from mongoq.storage.commands import Command, Op

SLOW = {"$expr": {"$function": {"body": "function() { sleep(1000); return true }", "args": [], "lang": "js"}}}


@pytest.mark.parametrize(
    "verb, args", [("find", (SLOW,)), ("aggregate", ([{"$match": SLOW}],)), ("count_documents", (SLOW,))]
)
def test_a_command_s_own_limit_ends_it_whatever_it_is(store: Any, verb: str, args: tuple[Any, ...]) -> None:
    def op() -> Op[Any]:
        return (yield Command(store.context.tasks, verb, args, limit=timedelta(seconds=0.3)))

    store.new()
    with pytest.raises(StorageUnavailable):
        store.run(op())
