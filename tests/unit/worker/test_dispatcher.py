"""From a claim to the verdict that is written: one attempt, whatever its handler does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.judging.verdict import Released
from mongoq.core.lifecycle import Event
from mongoq.core.signals import Cancel, Fail, Interruption, Move, Retry, Snooze
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task
from mongoq.storage.operations.finish import Finished
from mongoq.worker.stages import Wake

MakeWorker = Callable[..., Any]


def raising(error: BaseException) -> Callable[[Task], None]:
    def handler(_: Task) -> None:
        raise error

    return handler


def verdict_of(worker: Any) -> Any:
    """Claim, run and write one task; its verdict."""
    worker.fetch()
    assert worker.executor.run() == 1
    worker.finish()
    assert len(worker.script.written) == 1
    assert len(worker.ledger) == 0
    return worker.script.verdict


def test_a_handler_receives_its_task_and_its_return_is_the_result(make_worker: MakeWorker) -> None:
    seen: list[Task] = []

    def handler(task: Task) -> str:
        seen.append(task)
        return f"done {task.key}"

    verdict = verdict_of(make_worker(handler, fields={"tags": {"user": 42}}))
    assert (verdict.event, verdict.result) == (Event.COMPLETE, "done k0000")
    assert (seen[0].get("user"), seen[0].cancelled, seen[0].time_left()) == (42, False, None)


@pytest.mark.parametrize(
    "signal, event",
    [
        (Retry("later", delay=60), Event.RETRY),
        (Snooze(60), Event.SNOOZE),
        (Fail("bad"), Event.FAIL),
        (Cancel("no"), Event.CANCEL),
        (Move("other"), Event.MOVE),
    ],
)
def test_a_signal_steers_the_task(make_worker: MakeWorker, signal: Exception, event: Event) -> None:
    assert verdict_of(make_worker(raising(signal))).event is event


class NoAddressError(Fail):
    """A signal of a user's own whose `__init__` forgets its parent's."""

    def __init__(self) -> None:
        pass


def test_a_signal_that_forgot_its_parent_still_ends_its_task(make_worker: MakeWorker) -> None:
    assert verdict_of(make_worker(raising(NoAddressError()))).event is Event.FAIL


def test_an_exit_in_a_handler_fails_its_task_and_not_the_worker(make_worker: MakeWorker) -> None:
    verdict = verdict_of(make_worker(raising(SystemExit(3)), options={"max_retries": 0}))
    assert (verdict.event, verdict.error.type) == (Event.FAIL, "SystemExit")


class Stubborn:
    """A callable backoff that cannot be hashed."""

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, attempt: int) -> float:
        return 3600.0 * attempt


def broken(attempt: int) -> float:
    raise ZeroDivisionError


@pytest.mark.parametrize("backoff, least", [(Stubborn(), 3600), (broken, 0), (lambda attempt: 1800 * attempt, 1800)])
def test_a_failure_waits_for_the_backoff_of_its_worker_whatever_that_is(
    make_worker: MakeWorker, backoff: Any, least: float
) -> None:
    worker = make_worker(raising(ValueError("no")), options={"backoff": backoff})
    verdict = verdict_of(worker)
    assert verdict.event is Event.RETRY
    assert verdict.run_at - worker.runtime.context.clock.now() >= timedelta(seconds=least)
    assert Wake.SCHEDULED in worker.wakes, "it may be due sooner than all others"


def test_a_result_that_cannot_be_stored_completes_the_task_as_text(make_worker: MakeWorker) -> None:
    verdict = verdict_of(make_worker(lambda _: 1j, options={"max_retries": 9}))
    assert (verdict.event, verdict.result, verdict.error) == (Event.COMPLETE, "1j", None)
    assert "is not a value that BSON can carry" in (verdict.note or "")


def test_a_result_that_is_not_kept_needs_not_be_storable(make_worker: MakeWorker) -> None:
    assert verdict_of(make_worker(lambda _: 1j, options={"keep_completed": 0})).event is Event.COMPLETE


def test_new_tasks_beside_something_else_fail_the_task_and_say_what_is_allowed(make_worker: MakeWorker) -> None:
    verdict = verdict_of(make_worker(lambda _: [NewTask(), 5], options={"keep_completed": 0}))
    assert verdict.event is Event.FAIL
    assert "is not a result, a NewTask, a list of NewTasks and nothing else, or a Modification" in verdict.error.message


def test_what_was_cancelled_while_it_waited_does_not_start(make_worker: MakeWorker) -> None:
    ran: list[Task] = []
    worker = make_worker(ran.append)
    worker.fetch()
    worker.ledger.all()[0].interrupt(Interruption.CANCEL)
    worker.executor.run()
    worker.finish()
    assert (ran, worker.script.verdict.event) == ([], Event.CANCEL)


def test_what_lost_its_lease_while_it_waited_does_not_start(make_worker: MakeWorker) -> None:
    ran: list[Task] = []
    worker = make_worker(ran.append, options={"lease": 30})
    worker.fetch()
    worker.clock.advance(30)
    worker.executor.run()
    worker.finish()
    assert (ran, worker.script.written, worker.ledger.active) == ([], [], 0)
    assert [name for name, _ in worker.events if name == "task.lease_lost"] == ["task.lease_lost"]


def test_a_lost_lease_reaches_the_handler_and_its_result_is_refused(make_worker: MakeWorker) -> None:
    worker = make_worker()
    worker.fetch()
    attempt = worker.executor.begin()
    worker.dispatcher.lose(attempt)
    assert attempt.task.interruption is Interruption.LEASE_LOST
    assert (len(worker.ledger), worker.ledger.active) == (0, 1), "a handler that does not stop keeps its slot"
    assert worker.dispatcher.room()[0] == 0
    worker.executor.end(attempt)
    worker.finish()
    assert (worker.script.written, worker.ledger.active) == ([], 0)


def test_an_ending_that_came_too_late_is_told_as_a_lost_lease(make_worker: MakeWorker) -> None:
    worker = make_worker()
    worker.script.reply("finish", lambda arguments: Finished(list(arguments["endings"]), []))
    worker.fetch()
    worker.executor.run()
    worker.finish()
    told = [name for name, _ in worker.events]
    assert told[-2:] == ["tasks.finished", "task.lease_lost"]
    assert worker.events[-2][1]["count"] == 0


def test_a_released_attempt_is_not_charged_and_not_measured(make_worker: MakeWorker) -> None:
    worker = make_worker()
    worker.fetch()
    attempt = worker.executor.begin()
    worker.executor.end(attempt, Released(), 9.0)
    worker.finish()
    assert (worker.script.verdict.event, worker.script.verdict.charged) == (Event.RELEASE, False)
    assert worker.dispatcher.prefetch.pace == 0


def test_events_tell_the_life_of_an_attempt_in_order(make_worker: MakeWorker) -> None:
    worker = make_worker()
    verdict_of(worker)
    assert [name for name, _ in worker.events] == ["tasks.claimed", "task.started", "task.ended", "tasks.finished"]


def test_what_follows_a_committed_transaction_does_not_undo_it(
    make_worker: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(task: Task) -> None:
        attempt: Any = task.attempt
        attempt.begin_transaction(0.0)
        attempt.end_transaction(committed=True)
        raise ValueError("after all")

    worker = make_worker(handler)
    worker.fetch()
    worker.executor.run()
    worker.finish()
    assert (worker.script.written, len(worker.ledger)) == ([], 0)
    assert "is completed; its handler then raised ValueError: after all" in caplog.text
    assert [name for name, _ in worker.events][-1] == "tasks.finished"
