"""Traces by OpenTelemetry, and events for Sentry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import mongomock
import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from mongoq import NewTask, Queue, Snooze, Task
from mongoq.contrib.opentelemetry import SWITCH, instrument
from mongoq.contrib.sentry import report
from mongoq.core.clock import FrozenClock, ServerClock, elapsed
from mongoq.core.failures import task_error
from mongoq.core.judging.verdict import MOST_LOST_LEASES
from mongoq.core.requests import ClaimRequest
from mongoq.events import TaskEnded
from mongoq.storage.documents.decoding import error_from
from mongoq.storage.documents.encoding import error_document
from mongoq.storage.operations import sweep
from mongoq.storage.operations.claiming.first import claim_one
from mongoq.testing import memory_queue
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.executors.children.messages import ChildAttempt, heard
from mongoq.worker.runtime import Runtime
from mongoq.worker.services.sweeper import Sweeper

EXPORTER = InMemorySpanExporter()


@pytest.fixture
def queue() -> Iterator[Queue]:
    with memory_queue(clock=ServerClock()) as queue:
        yield queue


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    """The provider of this process: it can be set only once."""
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(made)
    return made


@pytest.fixture
def traced(queue: Queue, provider: TracerProvider) -> Queue:
    EXPORTER.clear()
    instrument(queue)
    return queue


def spans(kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in EXPORTER.get_finished_spans() if span.kind is kind]


Id = tuple[int, int]


def ids(context: SpanContext) -> Id:
    return context.trace_id, context.span_id


def linked(span: ReadableSpan) -> list[Id]:
    return [ids(link.context) for link in span.links]


def test_retries_link_each_attempt_to_the_one_before_and_carry_no_more_for_it(traced: Queue) -> None:
    sizes = []

    def handle(task: Task) -> None:
        sizes.append(len(repr(task.context)))
        raise ValueError("again")

    task = traced.new(queue="mail", backoff=0, max_retries=4)
    traced.run(handle, queues="mail", burst=True, workers=1)
    attempts = spans(SpanKind.CONSUMER)
    assert len(attempts) == 5
    for before, after in itertools.pairwise(attempts):
        assert linked(after)[1:] == [ids(before.context)]
    assert len(set(sizes)) == 1
    stored = [str(one.trace).split("-")[1:3] for one in traced.get(task.key).errors]
    assert stored == [[f"{one.context.trace_id:032x}", f"{one.context.span_id:016x}"] for one in attempts]


def test_a_call_of_a_batch_handler_is_one_span_with_links_to_all_who_enqueued(traced: Queue) -> None:
    tries: list[int] = []
    inside: list[Id] = []

    def handle(tasks: list[Task]) -> list[Any]:
        inside.append(ids(trace.get_current_span().get_span_context()))
        tries.append(len(tasks))
        return [ValueError("odd") if task.attempts == 1 and task.tags["n"] == 1 else None for task in tasks]

    for n in range(3):
        traced.new({"n": n}, backoff=0)
    traced.run(handle, burst=True, workers=1, batch=3)
    producers = [ids(span.context) for span in spans(SpanKind.PRODUCER)]
    first, second = spans(SpanKind.CONSUMER)
    assert tries == [3, 1]
    assert inside == [ids(first.context), ids(second.context)]
    assert first.parent is None, "its tasks are of several traces"
    assert linked(first) == producers
    assert (first.attributes or {})["mongoq.count"] == 3
    assert (first.status.status_code, (first.attributes or {})["error.type"]) == (StatusCode.ERROR, "ValueError")
    assert second.parent is not None
    assert second.parent.span_id == producers[1][1]
    assert linked(second) == [producers[1], ids(first.context)]


def test_a_batch_handler_s_span_is_in_the_trace_of_one_who_enqueued_all(traced: Queue) -> None:
    traced.new_many({"n": n} for n in range(3))
    traced.run(lambda tasks: None, burst=True, workers=1, batch=3)
    [producer], [consumer] = spans(SpanKind.PRODUCER), spans(SpanKind.CONSUMER)
    assert consumer.context.trace_id == producer.context.trace_id
    assert linked(consumer) == [ids(producer.context)]


def test_a_task_that_runs_after_others_is_linked_to_who_enqueued_these(traced: Queue) -> None:
    parents = [traced.new(key=key) for key in ("a", "b")]
    traced.new(key="c", after=parents)
    traced.run(lambda _: None, burst=True, workers=1)
    producers = [ids(span.context) for span in spans(SpanKind.PRODUCER)]
    [last] = [span for span in spans(SpanKind.CONSUMER) if (span.attributes or {})["mongoq.key"] == "c"]
    assert linked(last) == [producers[2], producers[0], producers[1]]


def test_the_callback_of_a_batch_is_in_the_trace_of_who_opened_it(traced: Queue) -> None:
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("request") as request, traced.batch(then=NewTask(queue="done")) as batch:
        batch.new()
    traced.run(lambda _: None, queues=["default", "done"], burst=True, workers=1)
    assert {span.context.trace_id for span in spans(SpanKind.CONSUMER)} == {request.get_span_context().trace_id}
    [callback] = [span for span in spans(SpanKind.CONSUMER) if span.name == "process done"]
    opener = spans(SpanKind.PRODUCER)[0]
    assert linked(callback) == [ids(opener.context)]


def test_each_attempt_is_a_span_below_the_producer_s_and_linked_to_it(traced: Queue) -> None:
    failures = iter([ValueError("once")])

    def handle(_: object) -> None:
        for error in failures:
            raise error

    with trace.get_tracer("test").start_as_current_span("request") as request:
        task = traced.new(queue="mail", backoff=0)
    traced.run(handle, queues="mail", burst=True, workers=1)
    [producer] = spans(SpanKind.PRODUCER)
    first, second = spans(SpanKind.CONSUMER)
    assert producer.parent is not None
    assert producer.parent.span_id == request.get_span_context().span_id
    for attempt, span in enumerate((first, second), 1):
        assert span.name == "process mail"
        assert span.parent is not None
        assert span.parent.span_id == producer.context.span_id
        assert (span.attributes or {})["mongoq.attempt"] == attempt
    assert linked(first) == [ids(producer.context)]
    assert linked(second) == [ids(producer.context), ids(first.context)]
    assert (second.links[1].attributes or {})["mongoq.attempt"] == 1
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert (first.attributes or {})["error.type"] == "ValueError"
    assert (first.attributes or {})["mongoq.key"] == task.key


@pytest.mark.parametrize(
    "switch, messaging, own", [("", False, True), ("http,messaging", True, False), ("messaging/dup", True, True)]
)
def test_the_messaging_conventions_are_behind_their_switch(
    traced: Queue, monkeypatch: pytest.MonkeyPatch, switch: str, messaging: bool, own: bool
) -> None:
    monkeypatch.setenv(SWITCH, switch)
    traced.new_many([NewTask(key="k1", queue="mail")])
    traced.run(lambda _: None, queues="mail", burst=True, workers=1)
    for operation, [span] in (("create", spans(SpanKind.PRODUCER)), ("process", spans(SpanKind.CONSUMER))):
        found = dict(span.attributes or {})
        conventional = {
            "messaging.system": "mongoq", "messaging.destination.name": "mail", "messaging.message.id": "k1",
            "messaging.operation.name": operation, "messaging.operation.type": operation,
        }  # fmt: skip
        assert (conventional.items() <= found.items()) is messaging
        assert ("mongoq.queue" in found) is own


def test_a_signal_that_steers_a_task_is_no_error(traced: Queue) -> None:
    def handle(_: object) -> None:
        raise Snooze(3600)

    traced.new()
    traced.run(handle, burst=True, workers=1)
    [span] = spans(SpanKind.CONSUMER)
    assert span.status.status_code is StatusCode.UNSET


def test_the_user_s_own_context_travels_beside_the_trace(traced: Queue) -> None:
    traced.context(lambda: {"tenant": "acme"})
    task = traced.new(context={"shop": 1})
    assert task.context.keys() == {"tenant", "shop", "traceparent"}


class Keeping(Transport):
    """Keeps what would be sent."""

    def __init__(self, kept: list[dict[str, Any]]) -> None:
        super().__init__()
        self.kept = kept

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.kept.append(dict(event))


def test_one_event_for_a_final_failure_with_its_traceback_and_without_arguments(queue: Queue) -> None:
    kept: list[dict[str, Any]] = []

    @queue.task(queue="mail", max_retries=2, backoff=0)
    def charge(card: str) -> None:
        secret = card
        raise ValueError(f"declined after {len(secret)} digits")

    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=Keeping(kept), auto_enabling_integrations=False)
    try:
        end = report(queue)
        charge.new("4111-1111")
        queue.run(burst=True, workers=1)
        assert queue.telemetry.settle(30)
        end()
    finally:
        sentry_sdk.init(auto_enabling_integrations=False)
    [event] = kept
    [raised] = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("ValueError", "declined after 9 digits")
    frame = raised["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["filename"]) == ("charge", __file__)
    assert event["contexts"]["mongoq"]["attempt"] == 3
    assert event["tags"]["mongoq.queue"] == "mail"
    assert "4111" not in repr(event)


def test_the_span_of_an_attempt_in_a_child_reaches_its_error(make_attempt: Callable[..., LiveAttempt]) -> None:
    attempt = make_attempt(0.0)
    child = ChildAttempt(0, None, lambda kind, *told: heard(attempt, kind, *told))
    child.trace = "00-ab-cd-01"
    error = task_error(ValueError("no"), attempt.task, datetime(2026, 3, 1, tzinfo=UTC), "host:1:a")
    assert (child.trace, attempt.trace, error.trace) == ("00-ab-cd-01",) * 3
    assert error_from(error_document(error)) == error
    assert error_from(error_document(replace(error, trace=None))) == replace(error, trace=None)


def test_one_event_for_a_task_that_is_given_up_because_its_workers_were_lost(clock: FrozenClock) -> None:
    kept: list[dict[str, Any]] = []
    told: list[TaskEnded] = []
    client: Any = mongomock.MongoClient()
    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=Keeping(kept), auto_enabling_integrations=False)
    with Queue(client, namespace="s", clock=clock) as queue:
        end = report(queue)
        queue.on(TaskEnded, told.append)
        queue.new({"card": "4111-1111"}, key="k", name="charge", queue="mail")
        for _ in range(MOST_LOST_LEASES):
            clock.advance(3_600)
            queue._base.driver.run(sweep.promote(queue._base.context))
            queue._base.driver.run(claim_one(queue._base.context, ClaimRequest(("mail",), "host:1:a", 1)))
            clock.advance(3_600)
            for worker in ("b:1:b", "c:1:c"):  # of two that sweep, one finds it
                runtime = Runtime(queue._base.context, queue._base.driver.run, worker, queue.telemetry)
                Sweeper(runtime, watched=lambda: False).step(elapsed())
        assert queue.get("k").failure == "lost"
        assert queue.telemetry.settle(30)
        end()
    sentry_sdk.init(auto_enabling_integrations=False)
    [event], [ended] = kept, told
    [raised] = event["exception"]["values"]
    assert raised["type"] == "WorkerLost"
    assert (event["transaction"], event["contexts"]["mongoq"]["failure"]) == ("charge", "lost")
    assert "4111" not in repr(event)
    assert (ended.whole().state, ended.whole().tags) == ("failed", {"card": "4111-1111"})
    assert len(ended.whole().errors) == len({error.attempt for error in ended.whole().errors})
