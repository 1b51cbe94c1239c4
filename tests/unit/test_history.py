"""The history: sums of attempts by minute, what is read of them, and how minutes become hours and days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import mongomock
import pytest

from mongoq import ConfigurationError, Queue, StorageUnavailable
from mongoq.core.clock import FrozenClock, elapsed
from mongoq.core.events import Telemetry
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event
from mongoq.history.buckets import LAST, LEAST, added_up, bucket, middle, quantiles
from mongoq.history.sums import Sums
from mongoq.storage.commands import Bulk, Find, Op
from mongoq.storage.operations.history import roll, rows, write
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.recording.recorder import Recorder
from mongoq.worker.recording.tally import Tally
from mongoq.worker.runtime import Runtime
from mongoq.worker.stages import Completion

START = datetime(2030, 1, 1, 11, 58, 30, tzinfo=UTC)
MakeAttempt = Callable[..., LiveAttempt]


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture
def queue(clock: FrozenClock) -> Iterator[Queue]:
    client: Any = mongomock.MongoClient()
    with Queue(client, namespace="h", clock=clock) as opened:
        yield opened


@pytest.fixture
def run(queue: Queue) -> Callable[[Op[Any]], Any]:
    return queue._base.driver.run  # type: ignore[no-any-return]


def sums(starts: int = 0, ends: dict[str, int] | None = None, wait: float = 1.0, run: float = 0.1) -> Sums:
    made = Sums()
    made.started([wait] * starts)
    for outcome, count in (ends or {}).items():
        made.ended(outcome, [run] * count)
    return made


def minute_of(instant: datetime) -> int:
    return int(instant.timestamp() // 60)


def test_a_percentile_is_wrong_by_a_fifth_at_most() -> None:
    for seconds in (0.0002, 0.0015, 0.04, 1.0, 59.0, 3_600.0, 86_400.0 * 20):
        assert middle(bucket(seconds)) == pytest.approx(seconds, rel=0.2)
    assert bucket(0.0) == bucket(-3.0) == 0
    assert bucket(1e12) == LAST
    of_many = {bucket(0.01): 94, bucket(2.0): 4, bucket(60.0): 2}
    found = quantiles(of_many, 0.5, 0.95, 0.99)
    assert found == [pytest.approx(right, rel=0.2) for right in (0.01, 2.0, 60.0)]
    assert quantiles({}, 0.5) == []


def test_many_durations_are_counted_as_each_would_be() -> None:
    durations = [-2.0, 0.0, LEAST, *(0.0003 * 1.37**number for number in range(90)), 1e12]
    histogram: dict[int, int] = {3: 5}
    total = added_up(histogram, list(reversed(durations)))
    assert histogram == Counter([*map(bucket, durations), *[3] * 5])
    assert total == pytest.approx(sum(durations) + 2.0)


def test_attempts_are_added_up_by_queue_and_name(make_attempt: MakeAttempt, clock: FrozenClock) -> None:
    tally = Tally()
    due = START - timedelta(seconds=4)
    done, failed, unstarted = (
        make_attempt(elapsed(), _id=key, queue="mail", name="welcome", run_at=due) for key in ("a", "b", "c")
    )
    for attempt in (done, failed):
        attempt.started_at, attempt.ran = elapsed(), 0.5
        tally.started(attempt)
    endings = [Completion(done, Verdict(Event.COMPLETE)), Completion(failed, Verdict(Event.FAIL))]
    tally.ended([*endings, Completion(unstarted, Verdict(Event.RELEASE))], [failed], clock)
    [(kind, one)] = tally.take(clock).items()
    assert kind == (minute_of(START), "mail", "welcome")
    assert (one.starts, one.ends) == (2, {"complete": 1, "lost": 1})
    assert one.wait_seconds == pytest.approx(8, abs=2)
    assert one.run_seconds == pytest.approx(1.0)
    assert not tally.take(clock)


def test_the_history_tells_of_each_minute_by_queue_and_by_name(
    queue: Queue, run: Callable[[Op[Any]], Any], clock: FrozenClock
) -> None:
    first = minute_of(START)
    run(write.add(queue._base.context, {(first, "mail", "welcome@2"): sums(3, {"complete": 2, "retry": 1}, run=2.0)}))
    clock.advance(60)
    run(write.add(queue._base.context, {(first, "mail", "welcome"): sums(1, {"fail": 1})}))
    run(write.add(queue._base.context, {(first + 1, "sms", None): sums(5, {"complete": 5})}))
    assert [(one.starts, one.completed) for one in queue.history(since=240)] == [(0, 0), (0, 0), (0, 0), (4, 2), (5, 5)]
    [*_, mail, none] = queue.history("mail")
    assert (mail.starts, mail.completed, mail.failed, mail.retried, mail.ended, mail.finished) == (4, 2, 1, 1, 4, 3)
    assert mail.at == START.replace(second=0)
    assert mail.run is not None
    assert mail.run.p50.total_seconds() == pytest.approx(2.0, rel=0.2)
    assert mail.run.mean.total_seconds() == pytest.approx(1.525)
    assert (none.starts, none.wait, none.run) == (0, None, None)
    assert queue.history(name="welcome")[-2].starts == 4
    assert queue.history("sms", name="welcome")[-1].starts == 0


def test_one_command_tells_what_each_of_many_names_did_of_late(
    queue: Queue, run: Callable[[Op[Any]], Any], clock: FrozenClock
) -> None:
    run(write.add(queue._base.context, {(minute_of(START), "mail", "welcome"): sums(50)}))
    clock.advance(1800)
    first = minute_of(clock.now())
    run(write.add(queue._base.context, {(first, "mail", "welcome@2"): sums(3, {"complete": 2, "retry": 1})}))
    run(write.add(queue._base.context, {(first + 1, "sms", "welcome"): sums(4, {"fail": 4, "lost": 1})}))
    run(write.add(queue._base.context, {(first, "mail", "report"): sums(1, {"complete": 1})}))
    clock.advance(60)
    found = queue.history_of_names(["welcome", "nobody"])
    one, none = found["welcome"], found["nobody"]
    assert (one.starts, one.completed, one.failed, one.retried, one.lost) == (7, 2, 4, 1, 1)
    assert (none.starts, none.at) == (0, one.at) == (0, START.replace(second=0) + timedelta(minutes=26))
    assert list(found) == ["welcome", "nobody"]
    for asked in ({"names": ["a b"]}, {"names": ["a"] * 1_001}, {"names": ["a"], "since": timedelta(days=1)}):
        with pytest.raises(ConfigurationError, match=r"names|since"):
            queue.history_of_names(**asked)


def test_minutes_become_hours_and_days_and_each_is_counted_once(
    queue: Queue, run: Callable[[Op[Any]], Any], clock: FrozenClock
) -> None:
    context = queue._base.context
    run(write.add(context, {(minute_of(START), "mail", None): sums(3, {"complete": 3})}))
    clock.advance(300)  # 12:03:30: the minute may still be added to
    assert not run(roll.sum_up(context))
    run(write.add(context, {(minute_of(clock.now()), "mail", None): sums(4, {"complete": 4})}))
    assert [one.completed for one in queue.history("mail", since=7_200, step="hour")] == [0, 3, 4]
    clock.advance(120)
    assert run(roll.sum_up(context))
    assert not run(roll.sum_up(context)), "the hour is summed up"
    assert [one.completed for one in queue.history(since=7_200, step="hour")] == [0, 3, 4]
    assert [one.completed for one in queue.history("mail", since=86_400, step="day")] == [0, 7]
    clock.advance(86_400)
    while run(roll.sum_up(context)):
        pass
    assert [one.completed for one in queue.history("mail", since=86_400 * 2, step="day")] == [0, 7, 0]
    hours = run(_all(context.history))
    kept = {row["step"]: (row["gone_at"] - row["at"]).days for row in hours}
    assert kept == {"minute": 7, "hour": 90, "day": 366}


def test_what_is_written_late_counts_in_a_minute_that_is_not_summed_up(
    queue: Queue, run: Callable[[Op[Any]], Any], clock: FrozenClock
) -> None:
    run(write.add(queue._base.context, {(minute_of(START) - 60, "mail", None): sums(2)}))
    assert [one.starts for one in queue.history(since=300)] == [0, 2, 0, 0, 0, 0]


def test_any_number_of_tasks_is_one_command(queue: Queue, clock: FrozenClock) -> None:
    op = write.add(queue._base.context, {(minute_of(START), "mail", "welcome"): sums(10_000, {"complete": 10_000})})
    command = next(op)
    assert isinstance(command, Bulk)
    assert len(command.writes) == 2
    with pytest.raises(StopIteration):
        op.send(2)


def test_a_server_that_does_not_answer_costs_no_count(
    queue: Queue, make_attempt: MakeAttempt, clock: FrozenClock
) -> None:
    answers = False

    def answer(op: Op[Any]) -> Any:
        if not answers:
            raise StorageUnavailable("no primary")
        return queue._base.driver.run(op)

    runtime = Runtime(queue._base.context, answer, "host:1:a", Telemetry())
    recorder = Recorder(runtime)
    attempt = make_attempt(elapsed(), queue="mail")
    attempt.started_at, attempt.ran = elapsed(), 0.5
    runtime.tally.started(attempt)
    with pytest.raises(StorageUnavailable):
        recorder.flush()
    answers = True
    recorder.flush()
    recorder.flush()
    assert [one.starts for one in queue.history("mail", since=60)] == [0, 1]


def test_a_release_is_marked_where_it_was_first_seen(queue: Queue, clock: FrozenClock) -> None:
    queue.mark_release("1.4.2")
    clock.advance(60)
    queue.mark_release("1.4.2")
    queue.mark_release("1.5.0")
    clock.advance(1)
    assert [one.releases for one in queue.history("mail", since=120)] == [(), ("1.4.2",), ("1.5.0",)]
    assert [one.releases for one in queue.history(since=120, step="day")] == [("1.4.2", "1.5.0")]
    with pytest.raises(ConfigurationError, match="release: '' is not a string of 1 to 100"):
        queue.mark_release("")


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"step": "minutes"}, "step: 'minutes' is not one of minute, hour, day"),
        ({"since": 0}, "since"),
        ({"since": START, "until": START}, "since: .* is not an instant before until"),
        ({"since": timedelta(days=30), "step": "minute"}, "step: 'minute' is not one that makes at most"),
        ({"queue": "a b"}, "queue"),
    ],
)
def test_a_bad_argument_is_named(queue: Queue, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        queue.history(**asked)


def _all(collection: str) -> Op[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = yield Find(collection, {}, sort=[("_id", 1)])
    assert all(rows.STEP in row for row in found)
    return found
