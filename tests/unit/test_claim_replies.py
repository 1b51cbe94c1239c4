"""What a claim makes of replies that a healthy server does not give: lost ones, late ones, too few."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import bson
import pytest
from bson.datetime_ms import DatetimeMS

from mongoq.core.clock import FrozenClock
from mongoq.core.errors import StorageRefused, StorageUnavailable
from mongoq.core.lifecycle import TaskState
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.task import Task
from mongoq.storage.commands import Find, Op, UpdateMany
from mongoq.storage.context import Context
from mongoq.storage.documents import indexes
from mongoq.storage.documents.codec import CODEC
from mongoq.storage.operations.claiming import first, many
from mongoq.storage.operations.claiming.claim import Claim
from mongoq.storage.operations.recovery import skip_locked

Drive = Callable[..., tuple[list[Any], Any]]
Make = Callable[..., dict[str, Any]]
NOW = FrozenClock().now()
LOST_REPLY = StorageUnavailable("the connection was lost", ambiguous=True)
CONFLICT = StorageUnavailable("another write met this transaction", code=112)
FREE = skip_locked._Undone()
NO_SERVER = StorageUnavailable("nobody answers")


def matched(count: int) -> int:
    return count


def claim_many(context: Context, limit: int = 10, poison_budget: int = 1) -> Any:
    return many.claim_many(context, ClaimRequest(("default",), "me:1:a", limit), poison_budget=poison_budget)


def claim_one(context: Context) -> Op[Task | None]:
    return first.claim_one(context, ClaimRequest(("default",), "me"))


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the token that every claim of the test has."""
    for module in (first, many):
        monkeypatch.setattr(module, "new_token", lambda: "mine")
    return "mine"


def row(key: str, token: str | None = "mine", worker: str = "me:1:a") -> dict[str, Any]:  # noqa: S107 -- no secret
    """What a look after a claim shows of a task: by default one that the claim holds."""
    return {"_id": key, "hold": {"token": token, "worker": worker}}


def theirs(key: str) -> dict[str, Any]:
    return row(key, "theirs", "them:2:b")


def keys(claim: Claim) -> list[str]:
    return [task.key for task in claim.tasks]


def test_a_batch_is_found_by_the_claim_index_and_taken_by_one_guarded_update(
    drive: Drive, context: Context, make_document: Make
) -> None:
    found = [make_document(_id="a", attempts=2, version=7), make_document(_id="b", version=7)]
    (find, update), claim = drive(claim_many(context), found, matched(2))
    assert (type(find), find.hint, find.sort) == (Find, indexes.CLAIM, indexes.URGENCY)
    assert find.limit == 10, "one batch, one round trip"
    where, change = update.where, update.update
    assert where == {"_id": {"$in": ["a", "b"]}, "state": TaskState.READY, "version": 7}
    assert (claim.more, claim.lost) == (False, 0)
    first = claim.tasks[0]
    assert (first.state, first.attempts, first.version, first.worker) == (TaskState.RUNNING, 3, 8, "me:1:a")
    assert first.token == change["$set"]["hold"]["token"]
    assert first.lease_until == NOW + timedelta(seconds=30)
    assert claim.tasks[1].attempts == 1


def test_two_claims_never_share_a_token(drive: Drive, context: Context, make_document: Make) -> None:
    tokens = {drive(claim_many(context), [make_document()], matched(1))[1].tasks[0].token for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 32 for token in tokens)


def test_no_two_processes_make_the_same_token() -> None:
    code = "from mongoq.storage.operations.claiming.claim import new_token; print(new_token())"
    made = [subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout for _ in range(2)]
    assert made[0] != made[1]


def test_where_some_were_lost_only_a_look_by_the_token_tells_which_are_held(
    drive: Drive, context: Context, make_document: Make, token: str
) -> None:
    found = [make_document(_id=key) for key in "abc"]
    commands, claim = drive(claim_many(context, limit=3), found, matched(1), [theirs("a"), row("b"), theirs("c")])
    look = commands[2]
    assert commands[1].update["$set"]["hold"]["token"] == token
    assert look.where == {"_id": {"$in": ["a", "b", "c"]}}
    assert not look.majority, "the update was acknowledged by a majority"
    assert (keys(claim), claim.lost, claim.more) == (["b"], 2, True)


def test_after_a_lost_reply_the_claim_holds_only_what_a_majority_confirms(
    drive: Drive, context: Context, make_document: Make, token: str
) -> None:
    found = [make_document(_id=key) for key in "abc"]
    shown = [row("c"), row("b", None, "before"), row("a")]
    commands, claim = drive(claim_many(context), found, LOST_REPLY, [], matched(0), shown)
    assert isinstance(commands[3], UpdateMany), "a new primary's majority reads are up to date after a write of its own"
    assert commands[4].majority
    assert commands[1].update["$set"]["hold"]["token"] == token
    assert (keys(claim), claim.lost, claim.doubtful) == (["a", "c"], 1, True)


@pytest.mark.usefixtures("token")
def test_what_a_lost_claim_did_not_reach_is_claimed_under_the_same_token(
    drive: Drive, context: Context, make_document: Make
) -> None:
    found = [make_document(_id=key) for key in "abc"]
    held = [row(key) for key in "abc"]
    commands, claim = drive(claim_many(context), found, LOST_REPLY, [{"_id": "b"}], FREE, matched(1), matched(0), held)
    assert commands[4].where["_id"] == "b"
    assert commands[4].update["$set"]["hold"]["token"] == commands[1].update["$set"]["hold"]["token"]
    assert (keys(claim), claim.lost) == (["a", "b", "c"], 0)


@pytest.mark.usefixtures("token")
def test_a_task_that_a_transaction_holds_is_passed_over(drive: Drive, context: Context, make_document: Make) -> None:
    found = [make_document(_id=key) for key in "abc"]
    left = [{"_id": "b"}, {"_id": "c"}]
    held = [row("a"), row("b", None, "before"), row("c")]
    conflict = [CONFLICT, None, CONFLICT]
    replies = [found, LOST_REPLY, left, *conflict, *conflict, FREE, matched(1), matched(0), held]
    _, claim = drive(claim_many(context), *replies)
    assert (keys(claim), claim.blocked, claim.lost) == (["a", "c"], ["b"], 0)
    assert claim.more, "there is one left"


@pytest.mark.parametrize("error", [NO_SERVER, StorageRefused("a right is missing", code=13)])
def test_an_error_that_leaves_no_doubt_is_the_caller_s(
    drive: Drive, context: Context, make_document: Make, error: Exception
) -> None:
    with pytest.raises(type(error)):
        drive(claim_many(context), [make_document()], error)


def test_a_claim_whose_look_fails_too_is_left_to_its_lease(drive: Drive, context: Context, make_document: Make) -> None:
    with pytest.raises(StorageUnavailable):
        drive(claim_many(context), [make_document()], LOST_REPLY, NO_SERVER)


def test_tasks_of_other_versions_and_leases_are_taken_by_updates_of_their_own(
    drive: Drive, context: Context, make_document: Make
) -> None:
    found = [
        make_document(_id="a"),
        make_document(_id="b", version=4),
        make_document(_id="c", policy={"lease": 90.0}),
        make_document(_id="d", policy={"max_retries": 1}),
    ]
    commands, claim = drive(claim_many(context), found, matched(2), matched(1), matched(1))
    taken = [(update.where["_id"], update.where["version"]) for update in commands[1:]]
    assert taken == [({"$in": ["a", "d"]}, 1), ("b", 4), ("c", 1)]
    leases = {task.key: task.lease_until - NOW for task in claim.tasks}
    assert leases == {key: timedelta(seconds=90 if key == "c" else 30) for key in "abcd"}
    assert len({task.token for task in claim.tasks}) == 1
    assert keys(claim) == ["a", "b", "c", "d"], "the most urgent first, however they were grouped"


def test_what_is_held_already_is_not_given_up_when_the_server_fails_in_the_middle(
    drive: Drive, context: Context, make_document: Make
) -> None:
    found = [make_document(_id="a"), make_document(_id="b", version=4), make_document(_id="c", version=5)]
    _, claim = drive(claim_many(context), found, matched(1), NO_SERVER)
    assert (keys(claim), claim.lost) == (["a"], 2)


def test_too_many_suspects_at_the_head_are_passed_over(drive: Drive, context: Context, make_document: Make) -> None:
    found = [make_document(_id=key, lost_leases=1, priority=9) for key in "abc"] + [make_document(_id="x", priority=5)]
    behind = [make_document(_id="w", priority=20), make_document(_id="x", priority=5)]
    commands, claim = drive(claim_many(context, limit=4), found, behind, matched(3))
    second = commands[1]
    assert second.where["lost_leases"] is None
    assert second.limit == 4
    assert keys(claim) == ["w", "a", "x"], "one suspect in its place among the others"
    assert sum(task.lost_leases > 0 for task in claim.tasks) == 1


def test_what_became_ready_between_the_two_looks_pushes_out_the_least_urgent_suspect_and_not_a_task_above_it(
    drive: Drive, context: Context, make_document: Make
) -> None:
    waits = make_document(_id="waits", priority=1)
    # There is no room for the first one, so the other suspect is chosen at first.
    found = [
        make_document(_id="a", lost_leases=2, priority=9),
        waits,
        make_document(_id="b", lost_leases=1, priority=0),
    ]
    arrived = [make_document(_id=key, priority=5) for key in ("new", "newer")]
    _, claim = drive(claim_many(context, limit=3, poison_budget=1), found, [*arrived, waits], matched(3))
    assert keys(claim) == ["new", "newer", "waits"]


def test_a_suspect_that_was_taken_and_released_between_the_two_looks_is_claimed_once(
    drive: Drive, context: Context, make_document: Make
) -> None:
    found = [make_document(_id=key, lost_leases=1, version=3, attempts=1) for key in "ab"]
    released = make_document(_id="a", version=5, attempts=2)
    commands, claim = drive(claim_many(context, poison_budget=1), found, [released], matched(1))
    assert commands[2].where == {"_id": "a", "state": TaskState.READY, "version": 5}
    assert [(task.key, task.attempts, task.token is None) for task in claim.tasks] == [("a", 3, False)]
    assert claim.lost == 0


@pytest.mark.parametrize("skip", [0, 2])
def test_a_task_that_moved_in_the_index_while_it_was_read_is_claimed_once(
    drive: Drive, context: Context, make_document: Make, skip: int
) -> None:
    """The server gives it twice then: as it stood, and as it stands."""
    found = [make_document(_id="a"), make_document(_id="b"), make_document(_id="a", version=2)]
    head = [[make_document()]] if skip else []
    claiming_op = many.claim_many(context, ClaimRequest(("default",), "me", 3), poison_budget=1, skip=skip)
    _, claim = drive(claiming_op, found, *head, matched(1), matched(1))
    assert sorted((task.key, task.version) for task in claim.tasks) == [("a", 3), ("b", 2)]


@pytest.mark.usefixtures("token")
def test_what_went_to_a_mate_of_the_same_name_is_not_lost(drive: Drive, context: Context, make_document: Make) -> None:
    found = [make_document(_id=key) for key in ("mine", "same worker", "done", "other worker")]
    shown = [row("mine"), row("same worker", "other"), theirs("other worker")]
    _, claim = drive(claim_many(context, limit=4), found, matched(1), shown)
    assert (keys(claim), claim.found, claim.lost) == (["mine"], 4, 1)


def test_as_many_suspects_as_allowed_need_no_second_look(drive: Drive, context: Context, make_document: Make) -> None:
    commands, claim = drive(claim_many(context), [make_document(lost_leases=1), make_document(_id="b")], matched(2))
    assert len(commands) == 2
    assert len(claim.tasks) == 2


def test_no_suspect_is_claimed_where_one_is_held(drive: Drive, context: Context, make_document: Make) -> None:
    commands, claim = drive(claim_many(context, poison_budget=0), [make_document(lost_leases=1)], [])
    assert [type(command) for command in commands] == [Find, Find]
    assert claim == Claim([], more=False, lost=0, blocked=[])


def test_an_empty_queue_costs_one_find(drive: Drive, context: Context) -> None:
    commands, claim = drive(claim_many(context), [])
    assert len(commands) == 1
    assert claim == Claim([], more=False, lost=0, blocked=[])


def test_what_has_expired_is_ended_instead_of_claimed(drive: Drive, context: Context, make_document: Make) -> None:
    found = [make_document(_id="old", expires_at=NOW), make_document(_id="new", expires_at=NOW + timedelta(seconds=1))]
    commands, claim = drive(claim_many(context), found, matched(1), matched(1))
    where, change = commands[1].where, commands[1].update
    assert where["_id"] == "old"
    assert change["$set"]["state"] == TaskState.EXPIRED
    assert (keys(claim), claim.lost) == (["new"], 0)


def test_a_single_claim_whose_reply_was_lost_is_looked_up_by_its_token(
    drive: Drive, context: Context, make_document: Make
) -> None:
    held = make_document(state="running", token="t", attempts=1)
    commands, task = drive(claim_one(context), LOST_REPLY, matched(0), [held])
    token = commands[0].update["$set"]["hold"]["token"]
    assert commands[2].majority
    assert commands[2].where == {"state": TaskState.RUNNING, "hold.token": token}
    assert task.key == "k1"


def test_a_single_claim_that_was_not_made_brings_nothing(drive: Drive, context: Context) -> None:
    assert drive(claim_one(context), LOST_REPLY, matched(0), [])[1] is None
    with pytest.raises(StorageUnavailable):
        drive(claim_one(context), NO_SERVER)


def test_a_task_with_a_lease_of_its_own_is_held_for_that_long(
    drive: Drive, context: Context, make_document: Make
) -> None:
    held = make_document(state="running", token="t", policy={"lease": 90}, lease_until=NOW + timedelta(seconds=30))
    commands, _ = drive(claim_one(context), held, matched(1))
    assert commands[1].update == {"$set": {"hold.until": NOW + timedelta(seconds=90)}}


def test_a_single_claim_tells_until_when_it_holds_the_task(drive: Drive, context: Context, make_document: Make) -> None:
    held = make_document(state="running", token="t", policy={"lease": 90}, lease_until=NOW + timedelta(seconds=30))
    _, task = drive(claim_one(context), held, matched(1))
    assert task.lease_until == NOW + timedelta(seconds=90)


def test_an_expiry_beyond_python_s_calendar_does_not_stop_a_queue(
    drive: Drive, context: Context, make_document: Make
) -> None:
    far = bson.decode(bson.encode(make_document(expires_at=DatetimeMS(10**15))), CODEC)
    _, claim = drive(claim_many(context), [far], matched(1))
    assert keys(claim) == ["k1"]
