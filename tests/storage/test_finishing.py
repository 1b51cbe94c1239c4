from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.errors import InvalidTask, LeaseLost, TaskNotFound
from mongoq.core.events import Telemetry
from mongoq.core.judging.backoff import Linear
from mongoq.core.judging.verdict import Outcome, Raised, Released, Returned, Verdict
from mongoq.core.lifecycle import Event, TaskState
from mongoq.core.signals import Cancel, Fail, Move, Retry, Snooze
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.operations import bulk, finish, leases, sweep
from mongoq.storage.operations.decide import Ended
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.manual.keepalive import Read
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.finisher import Finisher
from mongoq.worker.services.prefetch import Prefetch
from mongoq.worker.stages import Completion, Stage

ENDINGS: list[Outcome] = [
    Returned({"n": 1}),
    Returned(),
    Raised(ValueError("no")),
    Raised(Retry(delay=1)),
    Raised(Snooze(1)),
    Raised(Fail("bad")),
    Raised(Cancel()),
    Raised(Move("other")),
    Released(),
]


@pytest.mark.parametrize("ending", ENDINGS, ids=str)
@pytest.mark.parametrize("keep", [0, 3600])
def test_a_stale_token_changes_nothing(make_store: Callable[..., Any], ending: Outcome, keep: int) -> None:
    store = make_store(keep_completed=keep)
    key = store.new().key
    stale = store.claim()[0]
    store.clock.advance(31)
    store.run(sweep.rescue(store.context))
    store.claim(worker="another")
    before = store.document(key)

    with pytest.raises(LeaseLost) as caught:
        store.end(stale, ending)
    assert caught.value.keys == (key,)
    assert store.document(key) == before


def test_a_task_that_was_released_cannot_be_completed_under_the_same_claim(store: Any) -> None:
    store.new()
    task = store.claim()[0]
    store.end(task, Released())

    with pytest.raises(LeaseLost):
        store.end(task, Returned())
    assert store.get(task.key).state is TaskState.READY


@pytest.mark.parametrize("ending", ENDINGS, ids=str)
def test_an_ending_may_be_written_again_after_a_lost_reply(store: Any, ending: Outcome) -> None:
    store.new()
    task = store.claim()[0]
    store.end(task, ending)
    before = store.document(task.key)

    store.end(task, ending)
    assert store.document(task.key) == before


@pytest.mark.parametrize("ending", ENDINGS, ids=str)
def test_no_ending_leaves_a_hold_behind(store: Any, ending: Outcome) -> None:
    store.new()
    task = store.claim()[0]
    store.end(task, ending)
    document = store.document(task.key)

    assert "lost_leases" not in document
    assert document["hold"].keys() == {"worker", "started_at"}
    assert document["last_token"].startswith(f"{task.token}/")
    assert document["version"] == task.version + 1
    assert ("purge_at" in document) == store.get(task.key).finished


def test_a_completed_task_keeps_its_result_for_its_time(make_store: Callable[..., Any]) -> None:
    store = make_store(keep_completed=60)
    store.new()
    task = store.claim()[0]
    store.clock.advance(2)
    store.end(task, Returned({"sent": True}))

    done = store.get(task.key)
    assert (done.state, done.result, done.finished_at) == (TaskState.COMPLETED, {"sent": True}, store.clock.now())
    assert store.document(task.key)["purge_at"] == store.clock.now() + timedelta(seconds=60)


def test_a_task_not_to_be_kept_is_deleted_on_completion(make_store: Callable[..., Any]) -> None:
    store = make_store(keep_completed=0)
    store.new()
    task = store.claim()[0]
    store.end(task, Returned({"sent": True}))

    with pytest.raises(TaskNotFound):
        store.get(task.key)
    store.end(task, Returned())  # repeated after a lost reply: nothing is left to recognise


def test_a_failure_waits_for_its_backoff_and_keeps_its_history(make_store: Callable[..., Any]) -> None:
    store = make_store(max_retries=2, backoff=Linear(10))
    key = store.new().key
    for number in (1, 2, 3):
        task = store.claim_one()
        assert task is not None
        store.end(task, Raised(ValueError(f"attempt {number}")))
        if number < 3:
            assert store.get(key).run_at == store.clock.now() + timedelta(seconds=10 * number)
            store.clock.advance(10 * number)

    task = store.get(key)
    assert (task.state, task.attempts, task.retries, task.charged) == (TaskState.FAILED, 3, 3, 3)
    assert [(error.attempt, error.message) for error in task.errors] == [(n, f"attempt {n}") for n in (1, 2, 3)]
    assert task.last_error == task.errors[-1]


def test_the_history_holds_the_last_ten_errors(make_store: Callable[..., Any]) -> None:
    store = make_store(backoff=Linear(0))
    key = store.new().key
    for number in range(13):
        store.end(store.claim_one(), Raised(ValueError(str(number))))

    assert [error.message for error in store.get(key).errors] == [str(number) for number in range(3, 13)]


def test_a_snooze_and_a_release_are_not_charged(store: Any) -> None:
    key = store.new().key
    store.end(store.claim()[0], Raised(Snooze(60, "not yet")))
    snoozed = store.get(key)
    store.clock.advance(60)
    released_from = store.claim_one()
    store.end(released_from, Released())
    released = store.get(key)

    assert (snoozed.state, snoozed.charged, snoozed.note) == (TaskState.SCHEDULED, 0, "not yet")
    assert (released.state, released.attempts, released.charged) == (TaskState.READY, 2, 0)
    assert released.run_at == released_from.run_at


def test_a_moved_task_starts_afresh_elsewhere(store: Any) -> None:
    key = store.new(max_retries=0).key
    task = store.claim()[0]
    error = Move("mail/err", "bounced")
    error.__cause__ = ValueError("no such address")
    store.end(task, Raised(error))

    moved = store.claim(queues=("mail/err",))[0]
    assert (moved.key, moved.moved_from, moved.note, moved.charged) == (key, "default", "bounced", 1)
    assert moved.last_error is not None
    assert moved.last_error.type == "ValueError"


def test_a_cancel_request_wins_over_a_retry_but_not_over_a_completion(store: Any) -> None:
    failing, completing = store.new().key, store.new().key
    first, second = store.claim(2)
    for key in (failing, completing):
        assert store.run(bulk.cancel(store.context, key)).cancel_requested

    store.end(first, Raised(ValueError("stopped half-way")))
    store.end(second, Returned())

    assert store.get(failing).state is TaskState.CANCELLED
    assert store.get(failing).last_error.message == "stopped half-way"
    assert store.get(completing).state is TaskState.COMPLETED


def test_a_failed_task_past_its_expiry_expires_instead_of_being_retried(store: Any) -> None:
    key = store.new(expires_at=store.clock.now() + timedelta(seconds=5)).key
    task = store.claim()[0]
    store.clock.advance(6)
    store.end(task, Raised(ValueError("late")))

    assert store.get(key).state is TaskState.EXPIRED


def test_a_running_task_past_its_expiry_may_still_complete(store: Any) -> None:
    key = store.new(expires_at=store.clock.now() + timedelta(seconds=5)).key
    task = store.claim()[0]
    store.clock.advance(6)
    store.end(task, Returned())

    assert store.get(key).state is TaskState.COMPLETED


def test_many_endings_of_all_kinds_are_written_together_and_the_lost_are_told(store: Any) -> None:
    for _ in range(30):
        store.new()
    tasks = store.claim(30)
    gone = tasks[7]
    store.collection.update_one({"_id": gone.key}, {"$set": {"hold.token": "another's"}})
    verdicts = [
        Verdict(Event.COMPLETE, keep=timedelta(hours=1)),
        Verdict(Event.COMPLETE, result=5, keep=timedelta(hours=1)),
        Verdict(Event.RELEASE, charged=False),
    ]
    endings = [Ended(task, verdicts[number % 3]) for number, task in enumerate(tasks)]

    lost = store.run(finish.finish(store.context, endings)).lost

    assert [ending.task.key for ending in lost] == [gone.key]
    assert store.collection.count_documents({"state": "completed"}) == 19
    assert store.collection.count_documents({"state": "ready", "uncharged": 1}) == 10


def test_a_result_that_cannot_be_stored_leaves_the_task_running(store: Any) -> None:
    store.new()
    task = store.claim()[0]

    with pytest.raises(InvalidTask, match="result"):
        store.end(task, Returned(object()))
    assert store.get(task.key) == replace(task, token=None)


def test_a_renewal_prolongs_only_what_is_held(store: Any) -> None:
    for _ in range(3):
        store.new()
    tasks = store.claim(3)
    store.end(tasks[0], Released())
    store.clock.advance(10)
    claims = [(task.key, task.token) for task in tasks]

    assert store.run(leases.renew(store.context, claims, timedelta(seconds=30))) == (claims[:1], ())
    assert list(store.run(leases.look(store.context, claims))) == claims[1:]
    assert store.get(tasks[1].key).lease_until == store.clock.now() + timedelta(seconds=30)
    assert store.get(tasks[1].key).version == tasks[1].version


GONE = {
    "it ended elsewhere and was deleted": lambda store, key: store.end(store.claim()[0], Returned()),
    "an operator deleted it": lambda store, key: store.run(bulk.delete(store.context, key)),
}


@pytest.mark.parametrize("gone", GONE)
@pytest.mark.parametrize("follow_up", [False, True], ids=["plain", "with a follow-up"])
def test_who_comes_after_its_lease_takes_a_missing_task_for_lost(
    make_store: Callable[..., Any], gone: str, follow_up: bool
) -> None:
    store = make_store(keep_completed=0)
    key = store.new().key
    [task] = store.claim()
    store.clock.advance(60)
    assert store.run(sweep.rescue(store.context)).moved == 1
    GONE[gone](store, key)
    assert store.list() == []
    with pytest.raises(LeaseLost):
        store.end(task, Returned(NewTask(key="next") if follow_up else None))
    assert store.list() == [], "no follow-up either"


@pytest.mark.parametrize(
    "changes", [None, Modification(insert=[NewTask(key="next")])], ids=["plain", "with a follow-up"]
)
def test_a_worker_that_stood_still_before_it_wrote_is_told_the_truth(
    make_store: Callable[..., Any], changes: Any
) -> None:
    store = make_store(keep_completed=0)
    store.new()
    [task] = store.claim()
    runtime = Runtime(store.context, store.run, "w", Telemetry())
    attempt = LiveAttempt(Read(task), store.options.policy, elapsed() - store.options.policy.lease.total_seconds())
    attempt.claimed_at = elapsed()
    runtime.ledger.claim([attempt])
    store.clock.advance(60)
    store.run(sweep.rescue(store.context))
    store.end(store.claim()[0], Returned())
    attempt.end()
    runtime.ledger._ended.append(Completion(attempt, Verdict(Event.COMPLETE, keep=timedelta(0), modification=changes)))
    Finisher(runtime, Prefetch(), lambda *_: Verdict(Event.COMPLETE)).step(elapsed())
    assert attempt.stage is Stage.LOST
    assert store.list() == []


def test_who_was_in_time_and_asks_again_is_told_that_it_is_done(make_store: Callable[..., Any]) -> None:
    """The reply to a deletion was lost, and the lease has run out since."""
    store = make_store(keep_completed=0)
    store.new()
    [task] = store.claim()
    attempt = LiveAttempt(Read(task), store.options.policy, elapsed())
    assert not attempt.late(elapsed())
    verdict = Verdict(Event.COMPLETE, keep=timedelta(0))
    assert store.run(finish.finish(store.context, [Ended(task, verdict, attempt.late(elapsed()))])).lost == []
    attempt.lease_until = elapsed() - 1
    assert store.run(finish.finish(store.context, [Ended(task, verdict, attempt.late(elapsed()))])).lost == []
