"""Which ready tasks nobody takes, of a queue whose tasks come and go while they are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq import Unsupported
from mongoq.core.clock import FrozenClock
from mongoq.storage.commands import Aggregate, Op
from mongoq.storage.context import Context
from mongoq.storage.control import Transact
from mongoq.storage.operations.fleet.unhandled import unhandled

NOW = FrozenClock().now()
WORKER = {"_id": "w", "queues": ["mail"], "names": ["welcome"], "started_at": NOW, "seen_at": NOW}
NAMED = [
    {"_id": {"queue": "mail", "name": "welcome"}, "count": 3},
    {"_id": {"queue": "mail", "name": "gone"}, "count": 1},
]


def run(op: Op[Any], answer: Callable[[Any], Any]) -> Any:
    asked = next(op)
    try:
        while True:
            try:
                reply = answer(asked)
            except Unsupported as error:
                asked = op.throw(error)
            else:
                asked = op.send(reply)
    except StopIteration as done:
        return done.value


@pytest.mark.parametrize(
    "all_ready, left",
    [(4, {"mail": 1}), (9, {"mail": 6}), (0, {"mail": 1})],
    ids=["it only looked so", "nameless tasks", "all are gone"],
)
def test_what_came_meanwhile_is_not_taken_for_a_task_without_a_name(
    make_context: Callable[..., Context], all_ready: int, left: dict[str, int]
) -> None:
    def answer(asked: Any) -> Any:
        if isinstance(asked, Transact):
            together = iter([all_ready, 4])
            return run(asked.body(), lambda _: [{"_id": "mail", "count": next(together)}])
        return NAMED if isinstance(asked, Aggregate) else [WORKER]

    assert run(unhandled(make_context(), {}, {"mail": 7}), answer) == left


def test_a_standalone_server_counts_one_after_the_other(make_context: Callable[..., Context]) -> None:
    def answer(asked: Any) -> Any:
        if isinstance(asked, Transact):
            raise Unsupported("standalone")
        return NAMED if isinstance(asked, Aggregate) else [WORKER]

    assert run(unhandled(make_context(), {}, {"mail": 7}), answer) == {"mail": 4}
