"""Handlers in threads, without a queue: deadlines above all."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.judging.policy import Policy
from mongoq.core.judging.verdict import Outcome, Raised, Returned
from mongoq.core.signals import DeadlineExceeded
from mongoq.core.tasks.task import Task
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.base import Reports
from mongoq.worker.executors.threads import ThreadExecutor
from mongoq.worker.handlers.signature import Handler
from tests.handlers import cooperate, spin

Make = Callable[..., LiveAttempt]


@pytest.fixture
def run(make_attempt: Make) -> Iterator[Callable[..., list[Outcome]]]:
    """Give `run(function, *deadlines)`: what one thread makes of attempts with these deadlines, stepped by the test."""
    made: list[ThreadExecutor] = []

    def run(function: Any, *deadlines: float | None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        looks = threading.Semaphore(0)
        reports = Reports(
            lambda _: True, lambda _attempt, outcome, _seconds: outcomes.append(outcome), look=looks.release
        )
        executor = ThreadExecutor(Handler(function, takes_attempt=False), 1, reports)
        made.append(executor)
        executor.start()
        policies = [Policy(deadline=None if one is None else timedelta(seconds=one)) for one in deadlines]
        executor.submit([make_attempt(elapsed(), policy=policy) for policy in policies])
        give_up_at = elapsed() + 120
        while len(outcomes) < len(deadlines):
            assert elapsed() < give_up_at
            looks.acquire(timeout=min(0.05, executor.step(elapsed())))
        return outcomes

    yield run
    for executor in made:
        executor.close()


@pytest.mark.parametrize("handler", [spin, cooperate])
def test_a_deadline_ends_a_handler(run: Any, handler: Any) -> None:
    (outcome,) = run(handler, 0.05)
    assert isinstance(outcome, Raised)
    assert isinstance(outcome.error, DeadlineExceeded)


def test_a_deadline_passes_except_exception_but_can_be_caught_by_name(run: Any) -> None:
    def handler(task: Task) -> str:
        try:
            try:
                spin(task)
            except Exception:  # noqa: BLE001 -- what a careless handler does
                return "swallowed"
        except DeadlineExceeded:
            return f"tidied up, {task.time_left():.0f} s left"
        return "never stopped"

    assert run(handler, 0.05) == [Returned("tidied up, 0 s left")]


def test_a_deadline_is_raised_only_in_the_attempt_it_belongs_to(run: Any) -> None:
    def handler(task: Task) -> str:
        left = task.time_left()
        limit = time.monotonic() + (0.002 if left is not None else 0.0)
        while time.monotonic() < limit:
            pass
        return "done"

    deadlines = [0.002, None, None] * 100
    outcomes = run(handler, *deadlines)
    late = [number for number, outcome in enumerate(outcomes) if outcome != Returned("done")]
    assert {deadlines[number] for number in late} <= {0.002}


def test_time_left_counts_down_to_the_deadline(run: Any) -> None:
    (outcome,) = run(lambda task: task.time_left(), 60)
    assert 50 < outcome.value <= 60


def test_cancelled_turns_true_at_the_deadline_by_itself(run: Any) -> None:
    def handler(task: Task) -> str:
        try:
            while not task.cancelled:
                pass
            return str(task.interruption)
        except DeadlineExceeded:  # raised before the loop has seen it, or just after
            return str(task.interruption)

    assert run(handler, 0.02) == [Returned("deadline")]


@pytest.mark.parametrize("how", ["logging", "queue", "threading"])
def test_a_deadline_leaves_no_lock_held(run: Any, how: str) -> None:
    log, tickets, condition = logging.getLogger("test.strikes"), queue.Queue[int](), threading.Condition()
    log.propagate = False
    log.addHandler(logging.NullHandler())

    def handler(task: Task) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if how == "logging":
                log.warning("a line")
            elif how == "queue":
                tickets.put(1)
                tickets.get()
            else:
                with condition:
                    condition.notify_all()
            for _ in range(200):  # code of its own, which a deadline may interrupt
                pass

    outcomes = run(handler, *[0.001] * 15)
    assert all(isinstance(outcome.error, DeadlineExceeded) for outcome in outcomes)
    assert log.handlers[0].lock is None or log.handlers[0].lock.acquire(timeout=60)
    assert tickets.mutex.acquire(timeout=60)


@pytest.mark.parametrize("how", ["event", "queue", "semaphore"])
def test_a_deadline_ends_a_wait_and_leaves_its_lock_free(run: Any, how: str) -> None:
    never, empty, semaphore = threading.Event(), queue.Queue[int](), threading.Semaphore(0)

    def handler(task: Task) -> None:
        while True:
            if how == "event":
                never.wait(0.005)
            elif how == "queue":
                with contextlib.suppress(queue.Empty):
                    empty.get(timeout=0.005)
            else:
                semaphore.acquire(timeout=0.005)

    outcomes = run(handler, *[0.005] * 50)
    assert all(isinstance(outcome.error, DeadlineExceeded) for outcome in outcomes)
    assert empty.mutex.acquire(timeout=60)
    assert not never.wait(0)
    semaphore.release()
    assert semaphore.acquire(timeout=60)
