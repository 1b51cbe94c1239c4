"""What the tests of flow share."""

from __future__ import annotations

from typing import Final

from mongoq import NewTask
from mongoq.core.judging.follow_up import FollowUp
from mongoq.core.judging.verdict import Returned
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Op
from mongoq.storage.operations import finish
from mongoq.storage.operations.flow import batches
from tests.storage.conftest import Store

THEN: Final = FollowUp("default", None, 0, {"callback": True})


def state(store: Store, key: str) -> str:
    return str(store.get(key).state)


def opened(store: Store, members: int = 2) -> str:
    key: str = store.run(batches.open_batch(store.context, NewTask(), THEN, None, within=False))
    for number in range(members):
        store.new(key=f"m{number}", batch=key)
    return key


def ended(store: Store, tasks: list[Task]) -> Op[None]:
    return finish.settle(store.context, tasks, Returned(None), "w")


def done(store: Store, chosen: str) -> None:
    """End what is claimed until nothing is left that may be; `chosen` must be among it once."""
    ran: list[str] = []
    while task := store.claim_one():
        store.end(task, Returned(None))
        ran.append(task.key)
    assert ran.count(chosen) == 1, ran
