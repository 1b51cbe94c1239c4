"""What the driver sees to, whatever the operation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mongoq import StorageUnavailable
from mongoq.storage.commands import Aggregate, Count, Find, Op

SLOW = {"$expr": {"$function": {"body": "function() { sleep(1000); return true }", "args": [], "lang": "js"}}}


@pytest.mark.parametrize("kind, argument", [(Find, SLOW), (Aggregate, [{"$match": SLOW}]), (Count, SLOW)])
def test_a_command_s_own_limit_ends_it_whatever_it_is(store: Any, kind: Any, argument: Any) -> None:
    def op() -> Op[Any]:
        return (yield kind(store.context.tasks, argument, timeout=timedelta(seconds=0.3)))

    store.new()
    with pytest.raises(StorageUnavailable):
        store.run(op())
