"""The metrics of one process, the fleet's, and the files of `examples/operations` that name them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from mongoq import ConfigurationError, LimitStats, Queue, QueueStats, TaskPage
from mongoq.contrib.counting.histogram import seconds_of
from mongoq.contrib.counting.ticks import tick_of
from mongoq.contrib.prometheus import ATTEMPTS, MOST, Metrics
from mongoq.core.clock import FrozenClock, ServerClock
from mongoq.core.events import Signpost
from mongoq.dashboard.service.exposition import exposition
from mongoq.dashboard.service.snapshot import Snapshot
from mongoq.history.buckets import bucket
from mongoq.history.sums import LOST, Sums
from mongoq.testing import memory_queue
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.recording.tally import Tally

OPERATIONS = Path(__file__).parents[2] / "examples" / "operations"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def queue() -> Iterator[Queue]:
    with memory_queue(clock=ServerClock()) as queue:
        yield queue


@pytest.fixture
def registry(queue: Queue) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Metrics(queue))
    return registry


def work(queue: Queue) -> None:
    """Run two tasks to their end, and one that fails twice."""

    @queue.task(queue="mail", max_retries=1, backoff=0)
    def welcome(user: int) -> None:
        if user == 3:
            raise ValueError(user)

    for user in (1, 2, 3):
        welcome.new(user)
    queue.run(burst=True, workers=1)


def test_what_a_process_does_is_counted_by_queue_and_name(queue: Queue, registry: CollectorRegistry) -> None:
    work(queue)
    line = {"queue": "mail", "name": "welcome"}

    def of(name: str, **more: str) -> float | None:
        return registry.get_sample_value(name, line | more)

    counted = {name: of(f"mongoq_tasks_{name}_total") for name in ("enqueued", "run", "completed", "retried")}
    assert counted == {"enqueued": 3, "run": 4, "completed": 3, "retried": 1}
    assert (of("mongoq_tasks_succeeded_total"), of("mongoq_tasks_failed_total")) == (2, 1)
    assert (of("mongoq_task_duration_seconds_count"), of("mongoq_task_wait_seconds_count")) == (4, 4)
    assert of("mongoq_tasks_running") == 0
    assert [of("mongoq_task_attempts_bucket", le=str(float(bound))) for bound in ATTEMPTS] == [2, 3, 3, 3, 3, 3, 3]


def test_no_key_of_a_task_is_in_the_metrics(queue: Queue, registry: CollectorRegistry) -> None:
    queue.new(key="order-4711", queue="mail")
    queue.run(lambda task: None, queues="mail", burst=True)
    assert b'queue="mail"' in generate_latest(registry)
    assert b"4711" not in generate_latest(registry)


def test_a_load_and_a_skipped_duplicate_are_counted_right(queue: Queue, registry: CollectorRegistry) -> None:
    queue.load({"n": n} for n in range(3))
    for _ in range(2):
        queue.new(key="k", on_conflict="skip")
    queue.new_many([{"n": 1}], queue="bulk")
    line = {"queue": "default", "name": ""}
    assert registry.get_sample_value("mongoq_tasks_enqueued_total", line) == 4
    assert registry.get_sample_value("mongoq_tasks_enqueued_total", {"queue": "bulk", "name": ""}) == 1


def test_names_beyond_so_many_are_counted_together(queue: Queue, registry: CollectorRegistry) -> None:
    lines = {("q", f"name-{number}"): 1 for number in range(MOST + 2)}
    queue.telemetry.emit(Signpost.ENQUEUED, lines=lines)
    line = {"queue": "other", "name": "other"}
    assert registry.get_sample_value("mongoq_tasks_enqueued_total", line) == 2


def test_losses_and_outages_are_counted(queue: Queue, registry: CollectorRegistry) -> None:
    task = queue.new(queue="mail")
    sums = Sums()
    sums.ended(LOST, [None])
    queue.telemetry.emit(Signpost.CLAIMS_LOST, count=2)
    queue.telemetry.emit(Signpost.SUMMED, sums={(0, "mail", None): sums}, counts={}, ticks=[])
    queue.telemetry.emit(Signpost.REFUSED, task=task, error=ValueError())
    queue.telemetry.emit(Signpost.SWEPT, promoted=5, rescued=3, expired=0)
    queue.telemetry.emit(Signpost.STORAGE_LOST, error=OSError())
    assert registry.get_sample_value("mongoq_server_up") == 0
    queue.telemetry.emit(Signpost.STORAGE_BACK, seconds=1.0)
    line = {"queue": "mail", "name": ""}
    assert registry.get_sample_value("mongoq_claims_lost_total") == 2
    assert registry.get_sample_value("mongoq_tasks_rescued_total") == 3
    assert registry.get_sample_value("mongoq_leases_lost_total", line) == 1
    assert registry.get_sample_value("mongoq_endings_refused_total", line) == 1
    assert registry.get_sample_value("mongoq_server_outages_total") == 1
    assert registry.get_sample_value("mongoq_server_up") == 1


def test_the_lateness_of_a_schedule_is_measured(
    queue: Queue, registry: CollectorRegistry, make_attempt: Callable[..., LiveAttempt], clock: FrozenClock
) -> None:
    tick = datetime(2026, 3, 1, 3, tzinfo=UTC)
    created = tick + timedelta(seconds=40)
    tally = Tally(queue.telemetry)
    tally.started(make_attempt(0.0, _id="cron:nightly:20260301T030000Z", created_at=created))
    tally.started(make_attempt(0.0, _id="cron:nightly:20260302T030000Z", created_at=created, attempts=2))
    tally.tell(clock)
    labels = {"queue": "default", "schedule": "nightly"}
    assert registry.get_sample_value("mongoq_schedule_lateness_seconds_count", labels) == 1
    assert registry.get_sample_value("mongoq_schedule_lateness_seconds_sum", labels) == 40


def test_what_was_told_and_not_written_is_not_counted_twice(
    queue: Queue, registry: CollectorRegistry, make_attempt: Callable[..., LiveAttempt], clock: FrozenClock
) -> None:
    tally = Tally(queue.telemetry)
    tally.started(make_attempt(0.0))
    sums = tally.take(clock)
    tally.give_back(sums)
    tally.started(make_attempt(0.0))
    assert sum(one.starts for one in tally.take(clock).values()) == 2, "both are written"
    assert registry.get_sample_value("mongoq_tasks_run_total", {"queue": "default", "name": ""}) == 2


def test_the_tick_of_a_task_is_read_from_its_key() -> None:
    assert tick_of("cron:a:b:20260329T010000Z") == ("a:b", datetime(2026, 3, 29, 1, tzinfo=UTC))
    assert (tick_of("cron:x:never"), tick_of("order-1")) == (None, None)


def test_seconds_keep_their_place_among_the_bounds() -> None:
    found = dict(seconds_of({bucket(0.001): 1, bucket(1.5): 2, bucket(9_999): 3}))
    assert (found["0.0016"], found["1.638"], found["3355"], found["+Inf"]) == (1, 3, 3, 6)


def test_metrics_make_no_task_slower() -> None:
    with memory_queue() as queue:
        Metrics(queue)
        assert not queue.telemetry, "else each task would be announced by itself"


def test_closed_metrics_count_no_more(queue: Queue) -> None:
    metrics = Metrics(queue)
    assert queue.telemetry.counted
    metrics.close()
    assert not queue.telemetry.counted


def test_metrics_of_something_else_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="a Queue or an AsyncQueue"):
        Metrics("mongodb://localhost")  # type: ignore[arg-type]


def snapshot(**queues: QueueStats) -> Snapshot:
    return Snapshot(NOW, 0.1, 0.2, queues, [], [], [], failures=TaskPage((), None, None))


def parsed(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_the_fleet_s_metrics_are_in_prometheus_format_whatever_a_queue_is_called() -> None:
    row = QueueStats('odd"\\name', ready=3, oldest_ready=timedelta(seconds=90), unhandled=1)
    families = parsed(exposition(snapshot(odd=row)))
    [ready] = [s for s in families["mongoq_queue_tasks"].samples if s.labels["state"] == "ready"]
    assert (ready.labels["queue"], ready.value) == (row.queue, 3)
    assert families["mongoq_queue_oldest_ready_seconds"].samples[0].value == 90
    assert families["mongoq_queue_workers"].samples[0].value == 0


def test_ten_thousand_queues_are_a_thousand_and_the_others() -> None:
    rows = {f"q{n}": QueueStats(f"q{n}", ready=n) for n in range(1_005)}
    families = parsed(exposition(snapshot(**rows)))
    samples = {
        s.labels["queue"]: s.value for s in families["mongoq_queue_tasks"].samples if s.labels["state"] == "ready"
    }
    assert len(samples) == 1_001
    assert samples["other"] == 0 + 1 + 2 + 3 + 4


def test_limits_are_told_by_name_and_never_by_a_value_of_their_tags() -> None:
    tenant = LimitStats("tenant", 4, None, running=7, waiting=2, groups_running=3, groups_waiting=1, fullest=4)
    now = replace(snapshot(), limits={"tenant": tenant, "api": LimitStats("api", None, 8.5, waiting=5)})
    text = exposition(now)
    families = parsed(text)
    found = {
        name.removeprefix("mongoq_limit_"): [(*s.labels.values(), s.value) for s in family.samples]
        for name, family in families.items()
        if name.startswith("mongoq_limit_")
    }
    assert found == {
        "concurrency": [("tenant", 4)],
        "rate": [("api", 8.5)],
        "running": [("tenant", 7), ("api", 0)],
        "waiting": [("tenant", 2), ("api", 5)],
        "groups": [("tenant", "running", 3), ("tenant", "waiting", 1), ("api", "running", 0), ("api", "waiting", 0)],
        "use_ratio": [("tenant", 1.0)],
    }


def known(queue: Queue) -> set[str]:
    """Every name of a sample that mongoq exports."""
    registry = CollectorRegistry()
    registry.register(Metrics(queue))
    text = generate_latest(registry).decode() + exposition(snapshot(q=QueueStats("q")))
    kinds = dict(re.findall(r"^# TYPE (mongoq_\w+) (\w+)", text, re.MULTILINE))
    histograms = [name for name, kind in kinds.items() if kind == "histogram"]
    parts = [f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")]
    return {*kinds, *parts}


def test_every_metric_that_the_operations_files_name_is_exported(queue: Queue) -> None:
    dashboard = json.loads((OPERATIONS / "grafana.json").read_text())
    rules = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text())["groups"][0]["rules"]
    scaled = yaml.safe_load((OPERATIONS / "scaledobject.yaml").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [variable["query"] for variable in dashboard["templating"]["list"]]
    asked += [rule["expr"] for rule in rules]
    asked += [trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]]
    named = {name for text in asked for name in re.findall(r"mongoq_\w+", text)}
    assert len(named) > 20
    assert named - known(queue) == set()
    assert all(rule["annotations"]["action"] for rule in rules)
    assert scaled["kind"] == "ScaledObject"


def test_every_metric_that_is_exported_is_documented(queue: Queue) -> None:
    text = (OPERATIONS.parents[1] / "docs" / "monitoring.md").read_text()
    parts = ("_bucket", "_count", "_sum")
    told = {name.removesuffix("_created") for name in known(queue) if not name.endswith(parts)}
    assert {name for name in told if name not in text} == set()
