"""When progress is written: the newest of a moment, of all handlers in one command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mongoq.core.clock import elapsed
from mongoq.core.errors import ConfigurationError, StorageRefused, StorageUnavailable
from mongoq.core.tasks.progress import MOST_LINES, MOST_TEXT
from mongoq.storage.operations.reports import Saying
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.reporter import EVERY, Reporter

Make = Callable[..., LiveAttempt]


class Reports:
    """A reporter, what it holds and what it wrote."""

    def __init__(self, runtime: Runtime, timer: Any, script: Any, make_attempt: Make) -> None:
        self.ledger, self.timer, self.script = runtime.ledger, timer, script
        self._make = make_attempt
        self.reporter = Reporter(runtime)

    def hold(self, key: str = "a") -> LiveAttempt:
        attempt = self._make(self.timer.now, _id=key)
        self.ledger.claim([attempt])
        return attempt

    def step(self, seconds: float = EVERY) -> float:
        return self.reporter.step(self.timer.advance(seconds))

    @property
    def written(self) -> list[list[Saying]]:
        return [arguments["sayings"] for arguments in self.script.of("write")]


@pytest.fixture
def kept(runtime: Runtime, timer: Any, script: Any, make_attempt: Make) -> Reports:
    script.always("write", [])
    return Reports(runtime, timer, script, make_attempt)


def test_a_thousand_calls_are_one_write(kept: Reports) -> None:
    one, other = kept.hold("a"), kept.hold("b")
    for n in range(1_000):
        one.progress(n / 1_000, f"step {n}")
        other.log(f"line {n}")
    kept.step()
    [[first, second]] = kept.written
    assert (first.key, first.unwritten.value, first.unwritten.message) == ("a", 0.999, "step 999")
    assert (first.unwritten.lines, first.unwritten.whole) == (None, True)
    assert [text for _, text in second.unwritten.lines or ()] == [f"line {n}" for n in range(900, 1_000)]


def test_what_was_said_is_written_within_a_second_and_once(kept: Reports) -> None:
    attempt = kept.hold()
    assert kept.step() <= EVERY
    attempt.progress(0.5)
    kept.step()
    kept.step()
    attempt.progress(message="later")
    kept.step(0.1)
    assert len(kept.written) == 1, "no more often than twice a second"
    kept.step(EVERY - 0.1)
    assert [(one.unwritten.value, one.unwritten.message) for [one] in kept.written] == [(0.5, None), (0.5, "later")]
    assert [one.unwritten.whole for [one] in kept.written] == [True, False]


def test_lines_are_sent_again_only_with_a_new_one(kept: Reports) -> None:
    attempt = kept.hold()
    attempt.log("a")
    kept.step()
    attempt.progress(0.5)
    kept.step()
    attempt.log("b")
    kept.step()
    sent = [one.unwritten.lines for [one] in kept.written]
    assert [[text for _, text in lines] if lines else None for lines in sent] == [["a"], None, ["a", "b"]]


def test_what_could_not_be_written_is_written_with_what_comes_later(kept: Reports) -> None:
    attempt = kept.hold()
    attempt.log("a")
    kept.script.reply("write", StorageUnavailable("away"))
    with pytest.raises(StorageUnavailable):
        kept.step()
    attempt.progress(0.5)
    kept.step()
    [one] = kept.written[-1]
    assert (one.unwritten.value, [text for _, text in one.unwritten.lines or ()]) == (0.5, ["a"])
    assert one.unwritten.whole


def test_a_report_that_the_server_refuses_is_not_sent_for_ever(kept: Reports) -> None:
    kept.hold().progress(0.5)
    kept.script.reply("write", StorageRefused("too large", code=17419))
    kept.step()
    kept.step()
    assert len(kept.written) == 1


def test_a_task_that_a_transaction_holds_is_left_alone_for_a_while(kept: Reports) -> None:
    held, free = kept.hold("held"), kept.hold("free")
    for n in (1, 2):
        held.progress(n / 10)
        free.progress(n / 10)
        kept.script.reply("write", ["held"] if n == 1 else [])
        kept.step()
    assert [[one.key for one in sayings] for sayings in kept.written] == [["held", "free"], ["free"]]
    kept.step(20)
    assert [one.unwritten.value for one in kept.written[-1]] == [0.2]


def test_nothing_is_written_for_an_attempt_that_has_ended_or_is_in_its_own_transaction(kept: Reports) -> None:
    ended, busy = kept.hold("ended"), kept.hold("busy")
    for attempt in (ended, busy):
        attempt.progress(0.5)
    ended.end()
    busy.begin_transaction(0)
    kept.step()
    assert kept.written == []
    assert ended.unwritten is not None, "it goes with the ending"


def test_a_log_keeps_its_last_lines_and_its_last_bytes(kept: Reports) -> None:
    attempt = kept.hold()
    for n in range(200):
        attempt.log(f"{n}" + "x" * 2_000)
    assert attempt.unwritten is not None
    lines = [text for _, text in attempt.unwritten.lines or ()]
    assert sum(map(len, lines)) <= MOST_TEXT
    assert len(lines) == 16
    assert lines[-1] == "199" + "x" * 994 + "..."
    for n in range(200):
        attempt.log(n)
    assert [text for _, text in attempt.unwritten.lines or ()] == [f"{n}" for n in range(100, 200)]
    assert MOST_LINES == 100


def test_texts_that_bson_refuses_are_said_all_the_same(kept: Reports) -> None:
    attempt = kept.hold()
    attempt.log("\ud800 é")
    attempt.progress(message="\ud800")
    assert attempt.unwritten is not None
    assert ([text for _, text in attempt.unwritten.lines or ()], attempt.unwritten.message) == (["? é"], "?")


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "half", True, None])
def test_a_value_that_is_no_share_is_refused(kept: Reports, value: Any) -> None:
    attempt = kept.hold()
    with pytest.raises(ConfigurationError, match=r"^value: "):
        attempt.progress(value)
    assert attempt.unwritten is None


def test_a_line_knows_how_long_ago_it_was_said(kept: Reports) -> None:
    attempt = kept.hold()
    before = elapsed()
    attempt.log("a")
    assert attempt.unwritten is not None
    [(ago, _)] = attempt.unwritten.lines or ()
    assert 0 <= ago <= elapsed() - before
