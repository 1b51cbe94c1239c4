"""How an operation becomes single steps: transactions, replays and cleaning up, with scripted replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pymongo import errors as driver

from mongoq.core.clock import FrozenClock, ServerClock
from mongoq.core.errors import LeaseLost, StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.storage.commands import InsertOne, Op
from mongoq.storage.control import (
    Abort,
    Commit,
    Entered,
    Hello,
    ListCollections,
    Measure,
    OpenTransaction,
    Pause,
    Transact,
    Within,
)
from mongoq.storage.drivers.errors import TRANSIENT, UNKNOWN_COMMIT, translated
from mongoq.storage.drivers.steps import Left, Stepper, told

SESSION = "the session"
WRITE = InsertOne("tasks", b"")


def labelled(label: str) -> Exception:
    return translated(driver.OperationFailure("no", 251, {"errorLabels": [label]}), "here")


TRANSIENT_ERROR = labelled(TRANSIENT)
UNKNOWN = StorageUnavailable("lost", ambiguous=True)
UNKNOWN.__cause__ = driver.OperationFailure("no", 64, {"errorLabels": [UNKNOWN_COMMIT]})


class Script:
    """Answers the steps of an operation, by the names of what they ask for; other things get None."""

    def __init__(self, **replies: list[Any]) -> None:
        self.replies = {"StartSession": [SESSION], **replies}
        self.asked: list[str] = []
        self.sessions: list[Any] = []

    def run(self, op: Op[Any], clock: Any = None) -> Any:
        steps = Stepper(clock or FrozenClock(), Telemetry()).steps(op)
        reply, error = None, None
        try:
            while True:
                asked, session = steps.send(reply) if error is None else steps.throw(error)
                name = type(asked).__name__
                self.asked.append(name)
                self.sessions.append(session)
                given = self.replies.get(name) or [None]
                answer = given.pop(0) if len(given) > 1 or isinstance(given[0], BaseException) else given[0]
                reply, error = (None, answer) if isinstance(answer, BaseException) else (answer, None)
        except StopIteration as done:
            return done.value


def whole(body: Callable[[], Op[Any]], limit: float | None = None) -> Op[Any]:
    return (yield Transact(body, None if limit is None else timedelta(seconds=limit)))


def write() -> Op[str]:
    yield WRITE
    return "written"


def test_a_transaction_writes_in_a_session_and_commits() -> None:
    script = Script()
    assert script.run(whole(write)) == "written"
    assert script.asked == ["StartSession", "Begin", "InsertOne", "CommitOnce", "EndSession"]
    assert script.sessions == [None, None, SESSION, None, None], "the write alone is part of it"


def test_a_transaction_that_met_another_s_write_is_run_again() -> None:
    script = Script(InsertOne=[TRANSIENT_ERROR, TRANSIENT_ERROR, None])
    assert script.run(whole(write)) == "written"
    once = ["Begin", "InsertOne", "RollBack", "Pause"]
    assert script.asked == ["StartSession", *once, *once, "Begin", "InsertOne", "CommitOnce", "EndSession"]


def test_a_transaction_is_not_run_again_after_its_limit() -> None:
    script = Script(InsertOne=[TRANSIENT_ERROR, None])
    with pytest.raises(StorageUnavailable):
        script.run(whole(write, 0))
    assert script.asked == ["StartSession", "Begin", "InsertOne", "RollBack", "EndSession"]


@pytest.mark.parametrize("error", [LeaseLost(["a"]), asyncio.CancelledError(), KeyboardInterrupt(), ValueError()])
def test_what_ends_a_transaction_for_good_rolls_back_and_ends_the_session(error: BaseException) -> None:
    script = Script(InsertOne=[error, None])
    with pytest.raises(type(error)) as caught:
        script.run(whole(write))
    assert caught.value is error
    assert script.asked == ["StartSession", "Begin", "InsertOne", "RollBack", "EndSession"]


def test_a_commit_of_unknown_outcome_is_asked_again() -> None:
    script = Script(CommitOnce=[UNKNOWN, UNKNOWN, None])
    assert script.run(whole(write)) == "written"
    assert script.asked[3:] == ["CommitOnce", "Pause", "CommitOnce", "Pause", "CommitOnce", "EndSession"]


def test_a_commit_that_stays_unknown_is_told_as_ambiguous() -> None:
    script = Script(CommitOnce=[UNKNOWN, None])
    with pytest.raises(StorageUnavailable, match="whether the transaction was committed") as caught:
        script.run(whole(write, 0))
    assert caught.value.ambiguous
    assert script.asked[-3:] == ["CommitOnce", "RollBack", "EndSession"]


def test_a_commit_that_is_interrupted_ends_the_session() -> None:
    script = Script(CommitOnce=[asyncio.CancelledError(), None])
    with pytest.raises(asyncio.CancelledError):
        script.run(whole(write))
    assert script.asked[-3:] == ["CommitOnce", "RollBack", "EndSession"]


def test_an_interrupted_roll_back_ends_the_session_all_the_same() -> None:
    script = Script(InsertOne=[ValueError(), None], RollBack=[asyncio.CancelledError(), None])
    with pytest.raises(asyncio.CancelledError):
        script.run(whole(write))
    assert script.asked[-2:] == ["RollBack", "EndSession"]


def test_a_transaction_in_another_is_part_of_it() -> None:
    script = Script()
    assert script.run(whole(lambda: whole(write))) == "written"
    assert script.asked.count("Begin") == 1


def test_a_body_runs_in_the_session_it_is_given() -> None:
    def op() -> Op[Any]:
        return (yield Within("own", write))

    script = Script()
    assert script.run(op()) == "written"
    assert (script.asked, script.sessions) == (["InsertOne"], ["own"])


def scope(end: type[Any]) -> Op[Any]:
    session = yield OpenTransaction(write)
    yield end(session)


@pytest.mark.parametrize("end, asked", [(Commit, ["CommitOnce", "EndSession"]), (Abort, ["RollBack", "EndSession"])])
def test_an_open_transaction_is_ended_by_its_owner(end: type[Any], asked: list[str]) -> None:
    script = Script(InsertOne=[TRANSIENT_ERROR, None])
    script.run(scope(end))
    assert script.asked == [
        "StartSession", "Begin", "InsertOne", "RollBack", "Pause", "Begin", "InsertOne", *asked,
    ]  # fmt: skip


@pytest.mark.parametrize("end, failing", [(Abort, "RollBack"), (Commit, "CommitOnce"), (Commit, "RollBack")])
def test_an_end_that_fails_ends_the_session(end: type[Any], failing: str) -> None:
    replies: dict[str, list[Any]] = {failing: [asyncio.CancelledError(), None]}
    if failing == "RollBack" and end is Commit:
        replies["CommitOnce"] = [ValueError(), None]
    script = Script(**replies)
    with pytest.raises(asyncio.CancelledError):
        script.run(scope(end))
    assert script.asked[-1] == "EndSession"


def test_an_open_transaction_that_cannot_begin_ends_the_session() -> None:
    script = Script(InsertOne=[LeaseLost(["a"]), None])
    with pytest.raises(LeaseLost):
        script.run(scope(Commit))
    assert script.asked == ["StartSession", "Begin", "InsertOne", "RollBack", "EndSession"]


def test_a_lost_server_makes_the_clock_measure_again() -> None:
    clock = ServerClock()

    def ask() -> Op[None]:
        yield Measure()
        yield ListCollections()

    script = Script(Hello=[{"localTime": FrozenClock().now()}], ListCollections=[StorageUnavailable("gone"), None])
    with pytest.raises(StorageUnavailable):
        script.run(ask(), clock)
    script.run(ask(), clock)
    script.run(ask(), clock)
    assert script.asked.count(Hello.__name__) == 2


def test_an_operation_that_is_closed_in_the_middle_sends_nothing_more() -> None:
    steps = Stepper(FrozenClock(), Telemetry()).steps(whole(write))
    assert type(next(steps)[0]).__name__ == "StartSession"
    steps.send(SESSION)
    steps.send(None)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.parametrize("error", [GeneratorExit(), StopIteration()])
def test_what_no_generator_can_be_told_is_told_in_another_word(error: BaseException) -> None:
    seen: list[type[BaseException]] = []

    def op() -> Op[None]:
        try:
            yield Entered(None)
        except BaseException as raised:
            seen.append(type(raised))
            yield Pause(0)  # it may clean up
            raise

    steps = Stepper(FrozenClock(), Telemetry()).steps(op())
    next(steps)
    given = told(error)
    assert given is not None
    assert type(steps.throw(given)[0]) is Pause
    with pytest.raises(Left):
        steps.send(None)
    assert seen == [Left]


def test_other_errors_are_told_as_they_are() -> None:
    error = ZeroDivisionError()
    assert told(error) is error
    assert told(None) is None
