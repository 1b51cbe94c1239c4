"""Acts on many tasks: they end while others produce, and say how far they came when they are broken off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mongoq import ConfigurationError, NewTask, Progress, Queue, StorageUnavailable, TaskState
from mongoq.core.clock import FrozenClock
from mongoq.storage.commands import Delete, Find, Op, UpdateMany
from mongoq.storage.documents import filters
from mongoq.storage.operations import bulk, requeue

ACTS: dict[str, Callable[[Any], Op[int]]] = {
    "cancel": lambda context: bulk.cancel_all(context, filters.matching(queue="default"), None),
    "move": lambda context: bulk.move_all(context, filters.matching(queue="default"), None, "elsewhere"),
    "delete": lambda context: bulk.delete_all(context, filters.matching(queue="default"), None),
}


class Stopped(BaseException):
    """As Ctrl-C, which would stop the event loop of these tests."""


def interposed(op: Op[int], before: Callable[[Any], object]) -> Op[int]:
    """The operation, with something done before each of its commands."""
    reply = None
    while True:
        try:
            command = op.send(reply)
        except StopIteration as done:
            return int(done.value)
        try:
            before(command)
        except StorageUnavailable as error:
            op.throw(error)
        reply = yield command


@pytest.mark.parametrize("act", ACTS)
def test_an_act_on_many_ends_under_running_producers(store: Any, act: str) -> None:
    store.new_many([NewTask() for _ in range(3)])
    store.collection.update_one({}, {"$unset": {"created_at": ""}})  # somebody else's, which does not say since when
    looks: list[object] = []

    def produce(command: Any) -> None:
        if isinstance(command, Find):
            store.clock.advance(0.5)
            store.new()
            looks.append(command)
            assert len(looks) < 10, "it goes on for as long as somebody produces"

    assert store.run(interposed(ACTS[act](store.context), produce)) == 3
    assert store.collection.count_documents({"state": "ready", "queue": "default"}) == len(looks)


class Doubtful(FrozenClock):
    """A clock that may be half a second behind the server's."""

    def latest(self) -> datetime:
        return self.now() + timedelta(seconds=0.5)


@pytest.mark.parametrize("act", ACTS)
def test_a_task_that_was_enqueued_a_moment_ago_is_not_passed_over(store: Any, act: str) -> None:
    behind = Doubtful(store.clock.now())
    store.clock.advance(0.3)
    store.new()
    assert store.run(ACTS[act](replace(store.context, clock=behind))) == 1


@pytest.mark.parametrize("act", ACTS)
def test_one_that_breaks_off_says_how_far_it_came(store: Any, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    store.new_many([NewTask() for _ in range(5)])
    writes: list[object] = []

    def lose(command: Any) -> None:
        if isinstance(command, UpdateMany | Delete):
            writes.append(command)
            if len(writes) == 3:
                raise StorageUnavailable("gone")

    with pytest.raises(StorageUnavailable) as caught:
        store.run(interposed(ACTS[act](store.context), lose))
    assert caught.value.__notes__ == ["tasks written before it: 4"]


def test_requeuing_many_says_how_far_it_came(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requeue, "BATCH", 2)
    store.new_many([NewTask() for _ in range(5)])
    store.collection.update_many({}, {"$set": {"state": "failed", "finished_at": store.clock.now()}})
    writes: list[object] = []

    def lose(command: Any) -> None:
        if isinstance(command, UpdateMany):
            writes.append(command)
            if len(writes) == 2:
                raise StorageUnavailable("gone")

    with pytest.raises(StorageUnavailable) as caught:
        store.run(interposed(requeue.rerun_all(store.context, None, None, TaskState.FAILED), lose))
    assert caught.value.__notes__ == ["tasks written before it: 2"]


@pytest.mark.parametrize("given", [None, 5])
def test_requeuing_by_key_says_how_far_it_came_too(
    store: Any, monkeypatch: pytest.MonkeyPatch, given: int | None
) -> None:
    monkeypatch.setattr(requeue, "BATCH", 2)
    keys = [store.new().key for _ in range(5)]
    store.collection.update_many({}, {"$set": {"state": "failed", "finished_at": store.clock.now()}})
    told: list[Progress] = []

    def enough(progress: Progress) -> None:
        told.append(progress)
        if len(told) == 2:
            raise Stopped

    op = requeue.rerun_all(store.context, keys[:given] if given else None, None, TaskState.FAILED, on_progress=enough)
    with pytest.raises(Stopped) as caught:
        store.run(op)
    assert told == [Progress("rerun", 2), Progress("rerun", 4)]
    assert caught.value.__notes__ == ["tasks written before it: 4"]


def test_a_cancel_that_breaks_off_counts_the_waiting_and_the_running(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    store.new_many([NewTask() for _ in range(7)])
    store.claim(4)
    writes: list[object] = []

    def lose(command: Any) -> None:
        if isinstance(command, UpdateMany):
            writes.append(command)
            if len(writes) == 4:  # two batches of waiting ones, and one of running ones, were written
                raise StorageUnavailable("gone", ambiguous=True)

    with pytest.raises(StorageUnavailable) as caught:
        store.run(interposed(ACTS["cancel"](store.context), lose))
    assert caught.value.__notes__ == ["tasks written before it: 5, and perhaps some of the 2 after them"]


def test_progress_is_told_to_a_function(server: Any) -> None:
    with Queue(server.uri, namespace="t-told") as queue:
        acts: tuple[Callable[..., object], ...] = (
            queue.init,
            queue.purge,
            lambda **how: queue.cancel_all(queue="q", **how),
        )
        for act in acts:
            with pytest.raises(ConfigurationError, match="on_progress: 'me' is not a function"):
                act(on_progress="me")


@pytest.mark.parametrize("act", ACTS)
def test_no_write_of_an_act_reaches_more_than_a_thousand_tasks(store: Any, act: str) -> None:
    """A longer one outlives the time limit of its connection, and is watched by nobody."""
    store.new_many([NewTask() for _ in range(1_001)])
    reached: list[int] = []

    def note(command: Any) -> None:
        if isinstance(command, UpdateMany | Delete):
            reached.append(len(command.where["_id"]["$in"]) if "$in" in command.where["_id"] else 1)

    assert store.run(interposed(ACTS[act](store.context), note)) == 1_001
    assert reached == [1_000, 1]
