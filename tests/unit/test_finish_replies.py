"""What a finish makes of replies that were lost, and of tasks that changed under its hands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from mongoq.core.clock import FrozenClock, ServerClock, elapsed
from mongoq.core.errors import AlreadyFinished, InvalidTask, LeaseLost, StorageUnavailable
from mongoq.core.host.keys import KeyMaker
from mongoq.core.judging.verdict import Raised, Released, Returned, Verdict
from mongoq.core.lifecycle import Event, TaskState
from mongoq.core.signals import Snooze
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.task import Task, TaskError
from mongoq.storage.commands import Bulk
from mongoq.storage.context import Context
from mongoq.storage.documents.updates import mark
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.finish import complete_first, finish, settle
from mongoq.storage.operations.recovery.skip_locked import WRITE_LIMIT

Drive = Callable[..., tuple[list[Any], Any]]
Make = Callable[..., Task]
NOW = FrozenClock().now()
HOUR = timedelta(hours=1)
ERROR = TaskError("ValueError", "no", "", NOW, 1, "host:1:a")

KEPT = Verdict(Event.COMPLETE, keep=HOUR)
DELETED = Verdict(Event.COMPLETE, keep=timedelta(0))
RETRY = Verdict(Event.RETRY, run_at=NOW + HOUR, error=ERROR)
SNOOZE = Verdict(Event.SNOOZE, run_at=NOW + HOUR, charged=False)
RELEASE = Verdict(Event.RELEASE, charged=False)
MOVE = Verdict(Event.MOVE, queue="slow")
LOST_REPLY = StorageUnavailable("lost", ambiguous=True)
CONFLICT = StorageUnavailable("another write met this transaction", code=112)


def reply(count: int) -> int:
    return count


def verbs(commands: list[Any]) -> list[str]:
    return [type(command).__name__ for command in commands]


def named(guard: dict[str, Any]) -> list[str]:
    """The values of a guard, one or more."""
    return list(guard.get("$in") or [guard["$eq"]])


def change_of(command: Any) -> Any:
    """The only change of a bulk write."""
    (write,) = command.writes
    return write


def test_endings_of_one_batch_are_written_together(drive: Drive, context: Context, make_task: Make) -> None:
    endings = [Ended(make_task(_id=key), KEPT) for key in "abc"]
    (update,), done = drive(finish(context, endings), reply(3))
    where, change = update.where, update.update
    held = {"_id": {"$in": ["a", "b", "c"]}, "hold.token": "t1", "state": TaskState.RUNNING}
    assert where == {**held, "children": None}, "one that others wait for by now is written otherwise"
    assert change["$set"]["state"] == TaskState.COMPLETED
    assert change["$set"]["purge_at"] == NOW + HOUR
    assert set(change["$unset"]) == {"hold.token", "hold.until", "lost_leases"}
    assert done.lost == []


def test_endings_unlike_each_other_are_written_in_one_round_trip(
    drive: Drive, context: Context, make_task: Make
) -> None:
    endings = [
        Ended(make_task(_id="a"), KEPT),
        Ended(make_task(_id="b"), DELETED),
        Ended(make_task(_id="c", token="t2"), KEPT),
        Ended(make_task(_id="d"), RELEASE),
        Ended(make_task(_id="e"), RETRY),
        Ended(make_task(_id="f"), Verdict(Event.COMPLETE, keep=HOUR, result=7)),
        Ended(make_task(_id="g"), MOVE),
        Ended(make_task(_id="h"), DELETED),
        Ended(make_task(_id="i", token="t2"), KEPT),
    ]
    (command,), done = drive(finish(context, endings), 9)
    assert (type(command), command.ordered) == (Bulk, False)
    guards = [write.where for write in command.writes]
    assert [(named(guard["_id"]), named(guard["hold.token"])) for guard in guards] == [
        (["a"], ["t1"]), (["b", "h"], ["t1"]), (["c", "i"], ["t2"]), (["d"], ["t1"]), (["e"], ["t1"]),
        (["f"], ["t1"]), (["g"], ["t1"]),
    ]  # fmt: skip
    assert done.lost == []


@pytest.mark.parametrize("verdicts", [[KEPT], [KEPT, RELEASE]], ids=["alike", "unlike"])
def test_an_ending_is_written_as_late_as_the_claim_before_it(
    drive: Drive, context: Context, make_task: Make, verdicts: list[Verdict]
) -> None:
    clock = ServerClock()
    clock.measured(NOW, elapsed() - 0.5, elapsed())  # a busy server: the estimate may be 0.25 s off
    guessing, started = Context(clock, context.options, KeyMaker()), clock.latest()
    commands, _ = drive(
        finish(guessing, [Ended(make_task(_id=str(verdict.event)), verdict) for verdict in verdicts]), 2
    )
    written = commands[0].update if len(verdicts) == 1 else commands[0].writes[0].update
    assert written["$set"]["finished_at"] >= started


def test_a_result_that_is_not_kept_does_not_keep_a_task_from_its_batch(
    drive: Drive, context: Context, make_task: Make
) -> None:
    unkept = Verdict(Event.COMPLETE, keep=timedelta(0), result="large")
    commands, _ = drive(
        finish(context, [Ended(make_task(_id="a"), unkept), Ended(make_task(_id="b"), DELETED)]), reply(2)
    )
    assert verbs(commands) == ["Delete"]


@pytest.mark.parametrize("verdict", [KEPT, RETRY, SNOOZE, RELEASE, MOVE], ids=lambda verdict: verdict.event)
def test_an_ending_repeated_after_its_reply_was_lost_is_recognised(
    drive: Drive, context: Context, make_task: Make, verdict: Verdict
) -> None:
    task = make_task()
    with pytest.raises(StorageUnavailable):
        drive(finish(context, [Ended(task, verdict)]), LOST_REPLY, StorageUnavailable("gone"))
    written = {"_id": "k1", "last_token": mark("t1", verdict.event)}
    commands, done = drive(finish(context, [Ended(task, verdict)]), reply(0), [written])
    assert commands[1].majority
    assert done.lost == []


@pytest.mark.parametrize("verdict", [KEPT, DELETED, MOVE], ids=["kept", "deleted", "alone"])
def test_an_ending_in_doubt_counts_as_written_only_by_the_word_of_a_majority(
    drive: Drive, context: Context, make_task: Make, verdict: Verdict
) -> None:
    endings = [Ended(make_task(_id=key), verdict) for key in "abc"]
    documents = [{"_id": "c", "hold": {"token": "t1"}}, {"_id": "b", "hold": {"token": "t9"}}]
    if verdict is not DELETED:
        documents.append({"_id": "a", "last_token": mark("t1", verdict.event)})
    held = [{"_id": "c"}]
    commands, done = drive(finish(context, endings), LOST_REPLY, held, CONFLICT, None, CONFLICT, reply(0), documents)
    assert verbs(commands)[2:] == ["Transact", "Pause", "Transact", "UpdateMany", "Find"]
    assert commands[-1].majority, "after a write of its own, for which a majority has all that came before"
    assert commands[-1].where == {"_id": {"$in": ["a", "b"]}}
    assert (done.lost, done.blocked) == ([endings[1]], [endings[2]])


def test_what_was_blocked_gets_one_short_try_of_all_together(drive: Drive, context: Context, make_task: Make) -> None:
    endings = [Ended(make_task(_id="a"), DELETED), Ended(make_task(_id="b", token="t2"), RETRY)]
    held = [{"_id": "a"}, {"_id": "b"}]
    commands, done = drive(finish(context, endings, again=True), LOST_REPLY, held, CONFLICT, None, CONFLICT)
    assert verbs(commands) == ["Bulk", "Find", "Transact", "Pause", "Transact"]
    assert (commands[0].timeout or WRITE_LIMIT) < WRITE_LIMIT
    assert done.blocked == endings


def test_a_large_result_is_given_the_time_that_it_takes_to_send(
    drive: Drive, context: Context, make_task: Make
) -> None:
    large = Verdict(Event.COMPLETE, keep=HOUR, result=b"x" * 2**22)
    (command,), _ = drive(finish(context, [Ended(make_task(), large)]), reply(1))
    assert (command.timeout or WRITE_LIMIT) > WRITE_LIMIT + timedelta(seconds=4)


def test_it_is_recognised_also_where_another_has_claimed_the_task_since(
    drive: Drive, context: Context, make_task: Make
) -> None:
    taken = {"_id": "k1", "hold": {"token": "t9"}, "last_token": mark("t1", Event.RELEASE)}
    assert drive(finish(context, [Ended(make_task(), RELEASE)]), reply(0), [taken])[1].lost == []


@pytest.mark.parametrize(
    "document",
    [
        {"_id": "k1", "hold": {"token": "t9"}},
        {"_id": "k1", "hold": {"token": "t9"}, "cancel_requested": True},
        {"_id": "k1", "last_token": mark("t9", Event.COMPLETE)},
        {"_id": "k1", "last_token": mark("t1", Event.RELEASE)},
        {"_id": "k1"},
    ],
    ids=str,
)
def test_a_task_that_another_holds_or_ended_is_lost(
    drive: Drive, context: Context, make_task: Make, document: dict[str, Any]
) -> None:
    ending = Ended(make_task(), KEPT)
    assert drive(finish(context, [ending]), reply(0), [document])[1].lost == [ending]


def test_a_missing_task_counts_as_finished_where_it_is_deleted_on_completion(
    drive: Drive, context: Context, make_task: Make
) -> None:
    deleted, kept = Ended(make_task(_id="a"), DELETED), Ended(make_task(_id="b"), KEPT)
    assert drive(finish(context, [deleted]), reply(0), [])[1].lost == []
    assert drive(finish(context, [kept]), reply(0), [])[1].lost == [kept]


def test_only_where_some_are_missing_they_are_looked_up_and_only_the_lost_are_returned(
    drive: Drive, context: Context, make_task: Make
) -> None:
    sure = [Ended(make_task(_id="a"), DELETED), Ended(make_task(_id="b"), DELETED)]
    held, gone = Ended(make_task(_id="c"), KEPT), Ended(make_task(_id="d"), KEPT)
    documents = [{"_id": "c", "last_token": mark("t1", Event.COMPLETE)}, {"_id": "d", "hold": {"token": "t9"}}]
    short = 3
    commands, done = drive(finish(context, [*sure, held, gone]), short, documents)
    assert commands[1].where == {"_id": {"$in": ["a", "b", "c", "d"]}}
    assert done.lost == [gone]


@pytest.mark.parametrize("verdict", [RETRY, SNOOZE, RELEASE, MOVE], ids=lambda verdict: verdict.event)
def test_a_cancel_request_turns_any_ending_but_a_completion_into_cancelled(
    drive: Drive, context: Context, make_task: Make, verdict: Verdict
) -> None:
    asked = {"_id": "k1", "hold": {"token": "t1"}, "cancel_requested": True}
    commands, done = drive(finish(context, [Ended(make_task(), verdict)]), reply(0), [asked], reply(1))
    first = change_of(commands[0]).where if isinstance(commands[0], Bulk) else commands[0].where
    assert first["cancel_requested"] is None
    where, change = commands[2].where, commands[2].update
    assert where == {"_id": "k1", "hold.token": "t1", "state": TaskState.RUNNING}
    assert change["$set"]["state"] == TaskState.CANCELLED
    assert change["$set"]["purge_at"] == NOW + timedelta(days=30)
    assert ("$push" in change) == (verdict.error is not None)
    assert done.lost == []


def test_a_completion_wins_over_a_cancel_request(drive: Drive, context: Context, make_task: Make) -> None:
    for verdict in (KEPT, DELETED):
        (command,), _ = drive(finish(context, [Ended(make_task(), verdict)]), reply(1))
        assert "cancel_requested" not in command.where


def test_a_cancel_that_overtook_an_ending_whose_reply_was_lost_is_recognised(
    drive: Drive, context: Context, make_task: Make
) -> None:
    ended = {"_id": "k1", "last_token": mark("t1", Event.CANCEL), "cancel_requested": True}
    assert drive(finish(context, [Ended(make_task(), RETRY)]), reply(0), [ended])[1].lost == []


def test_a_task_without_a_token_matches_nothing(drive: Drive, context: Context, make_task: Make) -> None:
    ending = Ended(make_task(token=None), KEPT)
    commands, done = drive(finish(context, [ending]), reply(0), [{"_id": "k1"}])
    assert commands[0].where["hold.token"] == "-"
    assert done.lost == [ending]


def test_a_moved_task_starts_its_count_afresh_in_its_new_queue(drive: Drive, context: Context, make_task: Make) -> None:
    (command,), _ = drive(finish(context, [Ended(make_task(attempts=4, queue="fast"), MOVE)]), reply(1))
    change = change_of(command).update
    assert change["$set"] | {"queue": "slow", "moved_from": "fast", "uncharged": 4} == change["$set"]


def test_settling_by_hand_judges_and_tells_a_lost_lease(drive: Drive, context: Context, make_task: Make) -> None:
    task = make_task(policy={"keep_completed": 60.0})
    (command,), _ = drive(settle(context, [task], Returned(), "me"), reply(1))
    assert command.update["$set"]["purge_at"] == NOW + timedelta(minutes=1)
    with pytest.raises(LeaseLost, match="k1"):
        drive(settle(context, [task], Raised(Snooze(1)), "me"), reply(0), [], [])


@pytest.mark.parametrize("state, finished", [("failed", True), ("expired", True), ("running", False), ("ready", False)])
def test_endings_of_tasks_that_have_ended_say_so(
    drive: Drive, context: Context, make_task: Make, state: str, finished: bool
) -> None:
    tasks = [make_task(), make_task(_id="k2")]
    found = [{"_id": "k1", "state": "completed"}, {"_id": "k2", "state": state}]
    with pytest.raises(LeaseLost) as caught:
        drive(settle(context, tasks, Released(), "me"), reply(0), found, found)
    assert (isinstance(caught.value, AlreadyFinished), caught.value.keys) == (finished, ("k1", "k2"))


def test_a_result_that_cannot_be_stored_is_refused_before_anything_is_written(
    drive: Drive, context: Context, make_task: Make
) -> None:
    with pytest.raises(InvalidTask, match="result"):
        next(settle(context, [make_task()], Returned(1j), "me"))
    unkept = make_task(policy={"keep_completed": 0})
    assert drive(settle(context, [unkept], Returned(1j), "me"), reply(1))[1] is None


FOLLOW_UPS = [[NewTask(key="next")], Modification(insert=[NewTask(key="next")])]


@pytest.mark.parametrize("follow_up", FOLLOW_UPS, ids=["list", "modification"])
@pytest.mark.parametrize("keep", [0, 60])
def test_what_is_to_follow_is_refused_where_it_would_be_dropped(
    context: Context, make_task: Make, follow_up: Any, keep: float
) -> None:
    tasks = [make_task(_id=key, policy={"keep_completed": keep}) for key in "ab"]
    with pytest.raises(InvalidTask, match="complete each by itself"):
        next(settle(context, tasks, Returned(follow_up), "me"))
    with pytest.raises(InvalidTask, match="enqueue in its block"):
        next(complete_first(context, tasks[0], follow_up, "me"))


def test_a_batch_of_cancelled_attempts_is_written_at_once(drive: Drive, context: Context, make_task: Make) -> None:
    endings = [Ended(make_task(_id=key), Verdict(Event.CANCEL, keep=HOUR)) for key in "ab"]
    (update,), _ = drive(finish(context, endings), reply(2))
    assert "cancel_requested" not in update.where
