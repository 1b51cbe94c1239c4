"""Pauses in both tempos: who claims what while something is paused, and what is told of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from mongoq import ConfigurationError, Queue, Task, WorkerNotFound
from mongoq.core.clock import FrozenClock
from mongoq.storage.operations import schema
from mongoq.storage.operations.limits.sweeping import sweep_limits
from mongoq.testing import memory_queue, run_due
from mongoq.worker.manual import waiters
from mongoq.worker.services import watcher
from mongoq.worker.services.watcher import Poll
from proving.tempos import Face

Until = Callable[..., None]


def test_nothing_of_a_paused_queue_is_claimed_by_hand(queue: Face) -> None:
    for name in ("a", "b"):
        queue.new(queue=name, key=name)
    pause = queue.pause("a", reason="deploy", by="ada")
    assert (str(pause), pause.reason, pause.by, pause.until) == ("queue a", "deploy", "ada", None)
    assert queue.try_claim("a") is None
    assert queue.claim("a", timeout=0.1) is None
    assert [task.key for task in queue.claim_many(5, ["a", "b"])] == ["b"]
    assert queue.claim(key="a").key == "a", "who names a task means it"
    assert [one.queue for one in queue.pauses()] == ["a"]
    stats = queue.stats()
    assert (stats["a"].paused, stats["b"].paused) == (True, False)


def test_a_worker_leaves_a_paused_queue_alone_and_takes_it_up_again(queue: Face, until: Until) -> None:
    ran: list[str] = []
    queue.pause("a")
    handle = queue.start(lambda task: ran.append(task.key), queues=["a", "b"])
    queue.new(queue="a", key="a")
    queue.new(queue="b", key="b")
    until(lambda: ran == ["b"], why="the other queue is worked on")
    assert queue.count(queue="a", state="ready") == 1
    assert queue.resume("a") is True
    until(lambda: ran == ["b", "a"], why="it is resumed")
    assert queue.resume("a") is False
    queue.settled(lambda: handle.stop(0))


def test_workers_that_run_already_and_those_elsewhere_hear_of_a_pause(
    queue: Face, make: Callable[..., Face], until: Until
) -> None:
    ran: list[str] = []
    others = [make(namespace=queue.namespace) for _ in range(2)]
    handles = [one.start(lambda task: ran.append(task.key)) for one in (queue, *others)]
    queue.new(key="first")
    until(lambda: ran == ["first"], why="they work")
    others[0].pause(everything=True)
    held = [one.whole._base.context.gate for one in (queue, *others)]
    until(lambda: all(gate.pauses for gate in held), timeout=15, why="all know it within 2 s, and the machine's second")
    queue.new(key="second")
    queue.resume(everything=True)
    until(lambda: ran == ["first", "second"], why="all were resumed")
    for one, handle in zip((queue, *others), handles, strict=True):
        one.settled(partial(handle.stop, 0))


def test_a_pause_ends_by_itself(until: Until) -> None:
    clock = FrozenClock()
    queue = memory_queue(clock=clock)
    queue.new()
    assert queue.pause("default", until=timedelta(minutes=1)).until == clock.now() + timedelta(minutes=1)
    assert run_due(queue, lambda task: None) == []
    clock.advance(60)
    assert queue.pauses() == []
    assert len(run_due(queue, lambda task: None)) == 1


def test_tasks_of_a_paused_name_are_parked_and_all_run_when_it_is_resumed(queue: Face) -> None:
    for key, name in (("1", "send"), ("2", "send@3"), ("3", "sender"), ("4", None)):
        queue.new(key=key, name=name)
    assert queue.pause(name="send").walked_over is False
    assert sorted(task.key for task in queue.claim_many(10)) == ["3", "4"]
    assert (queue.count(state="parked"), queue.count(state="ready")) == (2, 0)
    queue.new(key="5", name="send")
    assert queue.try_claim() is None
    assert queue.resume(name="send") is True
    assert sorted(task.key for task in queue.claim_many(10)) == ["1", "2", "5"]


def test_a_pause_in_a_large_namespace_is_in_force_before_its_indexes_are_there(
    queue: Face, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue.new({"tenant": "acme"}, key="acme")
    queue.new({"tenant": ["acme"]}, key="list")
    queue.new({"tenant": True}, key="true")
    for key, name in (("named", "send"), ("revised", "send@3"), ("sender", "sender")):
        queue.new(key=key, name=name)
    monkeypatch.setattr(schema, "SMALL", 5)
    targets = ({"where": {"tenant": "acme"}}, {"where": {"tenant": 1}}, {"name": "send"})
    assert [queue.pause(**target).walked_over for target in targets] == [True] * 3
    assert "mongoq init" in caplog.text
    assert sorted(task.key for task in queue.claim_many(10)) == ["list", "sender", "true"]
    assert queue.count(state="parked") == 0, "nothing by which they would be found again"
    queue.init()
    assert queue.try_claim() is None
    assert queue.count(state="parked") == 3
    assert [pause.walked_over for pause in queue.pauses()] == [False] * 3
    assert [queue.resume(where={"tenant": "acme"}), queue.resume(name="send")] == [True, True]
    assert sorted(task.key for task in queue.claim_many(10)) == ["acme", "named", "revised"]


def test_tasks_with_a_paused_value_of_a_tag_wait_and_all_run_when_it_is_resumed(queue: Face) -> None:
    queue.new_many([{"tenant": "acme", "n": n} for n in range(60)], priority=9)
    for key, tenant in (("other", "umbrella"), ("none", None), ("number", 1), ("flag", True)):
        queue.new({} if tenant is None else {"tenant": tenant}, key=key)
    pause = queue.pause(where={"tenant": "acme"}, reason="unpaid")
    assert (str(pause), pause.tag, pause.value) == ("tasks with tenant='acme'", "tenant", "acme")
    queue.pause(where={"tenant": 1})
    assert queue.try_claim().key == "other", "it stands behind all that are paused"
    assert sorted(task.key for task in queue.claim_many(10)) == ["flag", "none"]
    assert (queue.count(state="parked"), queue.count(state="ready")) == (61, 0)
    assert queue.resume(where={"tenant": "acme"}) is True
    assert queue.count(state="ready") == 60
    assert len(queue.claim_many(100)) == 60
    assert queue.resume(where={"tenant": "acme"}) is False


def test_a_worker_elsewhere_keeps_to_a_paused_value_and_takes_it_up_again(
    queue: Face, make: Callable[..., Face], until: Until
) -> None:
    ran: list[str] = []
    other = make(namespace=queue.namespace)
    handle = other.start(lambda task: ran.append(task.key))
    queue.pause(where={"tenant": "acme"})
    gate = other.whole._base.context.gate
    until(lambda: bool(gate.pauses), why="it knows of the pause")
    queue.new({"tenant": "acme"}, key="held")
    queue.new(key="free")
    until(lambda: ran == ["free"], why="the other runs")
    until(lambda: queue.count(state="parked") == 1, why="it was found and parked")
    queue.resume(where={"tenant": "acme"})
    until(lambda: ran == ["free", "held"], why="it is resumed")
    other.settled(lambda: handle.stop(0))


@pytest.mark.parametrize("target", [{"where": {"tenant": "acme"}}, {"name": "charge"}], ids=["value", "name"])
def test_a_pause_that_ends_by_itself_lets_the_tasks_go_that_were_parked_for_it(target: dict[str, Any]) -> None:
    clock = FrozenClock()
    queue = memory_queue(clock=clock)
    queue.pause(**target, until=60)
    queue.new({"tenant": "acme"}, name="charge")
    assert queue.try_claim() is None
    assert queue.count(state="parked") == 1
    clock.advance(61)
    queue._base.run(sweep_limits(queue._base.context))
    assert queue.try_claim() is not None


def test_a_task_parked_just_as_its_pause_ends_is_let_go_by_who_parked_it() -> None:
    queue = memory_queue()
    queue.pause(where={"tenant": "acme"})
    context = queue._base.context
    known = context.gate.pauses
    queue.resume(where={"tenant": "acme"})
    context.gate.pauses = known  # as a process that has not heard of it
    queue.new({"tenant": "acme"})
    assert queue.try_claim() is not None


def test_a_function_whose_name_is_paused_waits_and_others_run(mongoq_queue: Queue) -> None:
    @mongoq_queue.task
    def slow() -> str:
        return "slow"

    @mongoq_queue.task
    def quick() -> str:
        return "quick"

    slow.new()
    quick.new()
    mongoq_queue.pause(name="slow")
    assert [ran.result for ran in run_due(mongoq_queue)] == ["quick"]
    mongoq_queue.resume(name="slow")
    assert [ran.result for ran in run_due(mongoq_queue)] == ["slow"]


def test_a_burst_ends_where_all_that_is_left_is_paused(queue: Face) -> None:
    queue.new_many([{"n": n} for n in range(3)])
    queue.new(queue="other")
    queue.pause("default")
    queue.run(lambda task: None, queues=["default", "other"], burst=True)
    assert queue.count(state="ready") == 3
    assert queue.run_once(lambda task: None) is False


def test_a_claim_that_waits_hears_of_a_resume_elsewhere_without_a_poll(
    queue: Face, make: Callable[..., Face], monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    for module, name in ((watcher, "LONGEST_POLL"), (watcher, "LONGEST_POLL_WATCHED"), (waiters, "FIRST_POLL")):
        monkeypatch.setattr(module, name, 600.0)
    monkeypatch.setattr(Poll, "next", lambda _self, longest: longest)
    queue.new(key="a", queue="a")
    queue.pause("a")
    waiting = make(namespace=queue.namespace)
    claimed: list[Task | None] = []
    thread = threading.Thread(target=lambda: claimed.append(waiting.claim("a", timeout=60)))
    thread.start()
    until(lambda: bool(waiting.whole._base.context.gate.pauses), why="it knows of the pause")
    queue.resume("a")
    until(lambda: bool(claimed), why="it looks whether what is paused was resumed")
    thread.join()
    assert [task and task.key for task in claimed] == ["a"]


def test_what_is_to_be_paused_is_said_once(queue: Face) -> None:
    twice = {"queue": "a", "where": {"t": 1}}
    for given in ({}, {"queue": "a", "name": "b"}, {"name": "b", "everything": True}, twice):
        with pytest.raises(ConfigurationError, match="one of: a queue"):
            queue.pause(**given)
    for where in ({}, {"a": 1, "b": 2}, {"a": None}, {"a": 1.5}, {"a": {"$gt": 1}}):
        with pytest.raises(ConfigurationError, match="one tag with"):
            queue.resume(where=where)
    with pytest.raises(ConfigurationError, match="until"):
        queue.pause("a", until=-1)
    assert queue.pauses() == []


def test_a_worker_ordered_to_stop_ends_what_it_runs_and_claims_no_more(
    queue: Face, make: Callable[..., Face], until: Until
) -> None:
    ran: list[str] = []

    def handler(task: Task) -> None:
        ran.append(task.key)
        while not other.whole._base.handles[0]._engine.ledger.draining:
            task.raise_if_cancelled()

    other = make(namespace=queue.namespace)
    queue.init()
    handle = other.start(handler, workers=1, prefetch=0)
    for key in ("a", "b"):
        queue.new(key=key)
    until(lambda: ran, why="it runs one")
    (info,) = [one for one in queue.workers() if one.id == handle.id]
    assert queue.stop_worker(f"{info.host}:{info.pid}") == [handle.id]
    until(lambda: handle.stopped, why="it has stopped")
    assert [queue.count(state=state) for state in ("completed", "ready")] == [1, 1]
    with pytest.raises(WorkerNotFound, match="nobody:1"):
        queue.stop_worker("nobody:1")
