"""Figures that one process counts for all: the sampler, the rates, and what `stats` answers from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import mongomock
import pytest

from mongoq import LimitStats, NewTask, Queue, QueueStats, Timing
from mongoq.core.clock import FrozenClock, elapsed
from mongoq.core.events import Telemetry
from mongoq.history.sums import Sums
from mongoq.history.trend import Trend
from mongoq.storage.commands import Find, Op
from mongoq.storage.operations.history import answer, figures, rows, write
from mongoq.storage.operations.history.figures import Figures
from mongoq.storage.operations.limits import counting
from mongoq.worker.recording.sampler import ELSEWHERE, EVERY, Sampler
from mongoq.worker.runtime import Runtime

START = datetime(2030, 1, 1, 12, 0, 30, tzinfo=UTC)
MINUTE = START.replace(second=0)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(START)


@pytest.fixture
def queue(clock: FrozenClock) -> Iterator[Queue]:
    client: Any = mongomock.MongoClient()
    with Queue(client, namespace="h", clock=clock) as opened:
        yield opened


@pytest.fixture
def make_sampler(queue: Queue) -> Callable[[str], Sampler]:
    def make(worker: str) -> Sampler:
        return Sampler(Runtime(queue._base.context, queue._base.driver.run, worker, Telemetry()))

    return make


def sums(starts: int, complete: int, moved: int = 0) -> Sums:
    made = Sums()
    made.started([2.0] * starts)
    made.ends = {"complete": complete, "move": moved}
    return made


def kept(clock: FrozenClock, *queues: QueueStats, lasts: float = 60) -> Figures:
    whole = QueueStats(rows.ALL, ready=sum(one.ready for one in queues))
    due = clock.now() + timedelta(seconds=lasts)
    return Figures(clock.now(), due, 1.0, {one.queue: one for one in (*queues, whole)})


def test_what_came_is_what_the_depth_grew_by_and_what_left() -> None:
    trend = Trend()
    trend.note(START, {"mail": 100}, {MINUTE: {"mail": sums(7, 7)}}, MINUTE)
    assert trend.rates() == {}
    later = START + timedelta(seconds=20)
    trend.note(later, {"mail": 130, "sms": 4}, {MINUTE: {"mail": sums(57, 47, moved=10)}}, MINUTE)
    assert trend.arrived() == {"mail": 80, "sms": 4}
    rates = trend.rates()
    assert rates["mail"] == (4.0, 2.5, 2.0)
    assert rates["sms"].arrivals == 0.2


def test_rates_are_those_of_the_last_minute_and_never_below_0() -> None:
    trend = Trend()
    for number in range(20):
        at = START + timedelta(seconds=10 * number)
        flows = {at.replace(second=0): {"mail": sums(0, 0)}}
        trend.note(at, {"mail": 1_000 - 100 * number}, flows, at.replace(second=0))
    assert trend.rates()["mail"].arrivals == 0, "others have deleted tasks"
    trend.note(START + timedelta(seconds=260), {"mail": -900 + 120}, {}, MINUTE)
    assert trend.rates()["mail"].arrivals == pytest.approx(120 / 60, rel=0.2)


def test_a_minute_that_grows_is_counted_once() -> None:
    trend = Trend()
    trend.note(START, {}, {MINUTE: {"mail": sums(0, 5)}}, MINUTE)
    trend.note(START + timedelta(seconds=20), {}, {MINUTE: {"mail": sums(0, 9)}}, MINUTE)
    trend.note(START + timedelta(seconds=40), {}, {}, START + timedelta(seconds=40))
    assert trend.arrived()["mail"] == 0
    assert trend.rates()["mail"].finishes == pytest.approx(4 / 40)


def test_the_time_to_empty_is_known_where_more_is_done_than_comes() -> None:
    row = QueueStats("mail", ready=100, scheduled=20, arrivals=2.0, finishes=5.0)
    assert row.time_to_empty == timedelta(seconds=40)
    assert replace(row, finishes=2.0).time_to_empty is None
    assert replace(row, finishes=None).time_to_empty is None
    assert QueueStats("mail").time_to_empty == timedelta(0)


def test_one_process_samples_until_it_leaves(
    queue: Queue, make_sampler: Callable[[str], Sampler], clock: FrozenClock
) -> None:
    first, second = make_sampler("a:1:a"), make_sampler("b:1:b")
    assert EVERY <= first.step(elapsed()) < ELSEWHERE / 2
    assert second.step(elapsed()) > ELSEWHERE / 2
    first.leave()
    clock.advance(1)
    queue.new(queue="mail")
    second.step(elapsed())
    assert queue.history("mail", since=60)[-1].ready == 1
    assert first.step(elapsed()) > ELSEWHERE / 2


def test_a_sample_tells_depth_arrivals_and_rates(
    queue: Queue, make_sampler: Callable[[str], Sampler], clock: FrozenClock
) -> None:
    sampler = make_sampler("a:1:a")
    queue.new_many(NewTask(queue="mail") for _ in range(6))
    queue.new(queue="mail", delay=3_600)
    sampler.step(elapsed())
    clock.advance(20)
    queue._base.driver.run(write.add(queue._base.context, {(int(START.timestamp() // 60), "mail", None): sums(4, 4)}))
    for task in queue.tasks(queue="mail", state="ready")[:4]:
        queue.delete(task.key)
    queue.new_many(NewTask(queue="mail") for _ in range(10))
    sampler.step(elapsed())
    [*_, point] = queue.history("mail", since=60)
    assert (point.arrivals, point.ready, point.scheduled, point.running, point.unhandled) == (10, 12, 1, 0, 0)
    assert point.oldest_ready == timedelta(seconds=20)
    assert queue.history(since=60)[-1].arrivals == 10
    row = queue.stats()["mail"]
    assert (row.ready, row.arrivals, row.starts, row.finishes) == (12, 0.5, 0.2, 0.2)
    assert row.wait is not None
    assert row.wait.count == 4
    assert row.counted_at is None, "so few are counted at once"


def test_stats_of_many_tasks_reads_figures_and_no_task(queue: Queue, clock: FrozenClock) -> None:
    timing = Timing(3, *(timedelta(seconds=one) for one in (2.0, 1.0, 4.0, 5.0)))
    mail = QueueStats("mail", ready=1_000_000, oldest_ready=timedelta(hours=1), arrivals=3.0, wait=timing)
    sms = QueueStats("sms", ready=2, unhandled=2)
    queue._base.driver.run(figures.write(queue._base.context, kept(clock, mail, sms)))
    queue.new(queue="mail")
    clock.advance(5)
    seen = replace(mail, counted_at=START, oldest_ready=timedelta(hours=1, seconds=5))
    assert queue.stats() == {"mail": seen, "sms": replace(sms, counted_at=START)}
    assert list(queue.stats("sms")) == list(queue.stats(prefix="s")) == ["sms"]
    assert queue.queues() == {"mail": 1_000_000, "sms": 2}
    exact = queue.stats(exact=True)["mail"]
    assert (exact.ready, exact.arrivals, exact.counted_at) == (1, 3.0, None)
    commands = _commands(answer.stats(queue._base.context, None, None, attempts=False, exact=False), queue)
    assert [one.collection for one in commands] == ["h.history"]


def held(queue: Queue) -> None:
    """Two groups of a limit: of one a task runs and two wait, of the other one runs; and one of a rate alone."""
    queue.limit("tenant", concurrency=2, by="tenant")
    queue.limit("host", rate=120, per=60)
    queue.new_many(
        NewTask({"tenant": tenant}, queue="mail", limits=["tenant"]) for tenant in ("acme", "acme", "acme", "b:1/2")
    )
    while queue.try_claim("mail"):
        pass


def test_the_use_of_limits_is_counted_by_limit_and_not_by_group(queue: Queue) -> None:
    assert queue.limit_stats() == {}
    held(queue)
    tenant = LimitStats("tenant", 2, None, running=3, waiting=1, groups_running=2, groups_waiting=1, fullest=2)
    assert queue.limit_stats() == {"host": LimitStats("host", None, 2.0), "tenant": tenant}
    assert (tenant.use, LimitStats("host", None, 2.0).use) == (1.0, None)


def test_the_use_of_limits_of_many_tasks_is_read_from_what_one_process_counted(
    queue: Queue, make_sampler: Callable[[str], Sampler], clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FEW", 3)
    held(queue)
    make_sampler("a:1:a").step(elapsed())
    counted = queue.limit_stats()["tenant"]
    assert (counted.running, counted.waiting, counted.counted_at) == (3, 1, clock.now())
    commands = _commands(answer.limits(queue._base.context, exact=False), queue)
    assert [one.collection for one in commands] == ["h.history"]
    assert "queue" not in (commands[0].only or ["queue"]), "the figures of the queues are not read"
    queue.cancel_all(state="parked")
    assert queue.limit_stats()["tenant"].waiting == 1
    assert queue.limit_stats(exact=True)["tenant"].waiting == 0
    queue.limit("new", concurrency=1)
    assert queue.limit_stats()["new"].counted_at is None, "nobody has counted it yet"


def test_figures_of_limits_that_an_older_version_left_are_not_told(queue: Queue, clock: FrozenClock) -> None:
    held(queue)
    sums = {"host": dict.fromkeys(counting.SUMS, 7), "tenant": dict.fromkeys(counting.SUMS, 7)}
    many = kept(clock, QueueStats("mail", ready=10**6))
    queue._base.driver.run(figures.write(queue._base.context, many._replace(limits=sums)))
    assert queue.limit_stats()["tenant"].waiting == 7
    clock.advance(5)
    queue._base.driver.run(figures.write(queue._base.context, many._replace(at=clock.now())))
    assert queue.limit_stats()["tenant"].waiting == 1


def test_figures_that_nobody_renews_are_not_told(queue: Queue, clock: FrozenClock) -> None:
    queue._base.driver.run(figures.write(queue._base.context, kept(clock, QueueStats("mail", ready=10**6), lasts=60)))
    queue.new(queue="mail")
    clock.advance(60)
    assert queue.stats()["mail"].ready == 10**6
    clock.advance(11)
    assert queue.stats()["mail"].ready == 1


def test_figures_of_more_queues_than_a_document_holds_are_read_together(
    queue: Queue, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "PART", 2)
    many = [QueueStats(f"q{number}", ready=10_000) for number in range(5)]
    queue._base.driver.run(figures.write(queue._base.context, kept(clock, *many)))
    assert list(queue.stats()) == ["q0", "q1", "q2", "q3", "q4"]
    queue._base.driver.run(figures.write(queue._base.context, kept(clock, replace(many[0], ready=30_000))))
    assert list(queue.stats()) == ["q0"]


def test_a_queue_that_is_emptied_at_once_is_shown_with_its_rates(queue: Queue, clock: FrozenClock) -> None:
    idle, busy = QueueStats("idle", starts=0.0), QueueStats("mail", starts=7.0, finishes=7.0)
    queue._base.driver.run(figures.write(queue._base.context, kept(clock, idle, busy)))
    assert queue.stats() == {"mail": busy}
    assert queue.queues() == {}


def _commands(op: Op[Any], queue: Queue) -> list[Find]:
    """The commands of an operation, each answered by the queue's driver."""
    sent: list[Any] = []
    reply = None
    while True:
        try:
            command = op.send(reply)
        except StopIteration:
            return sent
        sent.append(command)
        reply = queue._base.driver.run(_one(command))


def _one(command: Any) -> Op[Any]:
    return (yield command)
