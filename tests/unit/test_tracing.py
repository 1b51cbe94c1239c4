"""Traces by OpenTelemetry, and events for Sentry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from mongoq import NewTask, Queue, Snooze
from mongoq.contrib.opentelemetry import SWITCH, instrument
from mongoq.contrib.sentry import report
from mongoq.core.clock import ServerClock
from mongoq.testing import memory_queue

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
        assert [link.context.span_id for link in span.links] == [producer.context.span_id]
        assert (span.attributes or {})["mongoq.attempt"] == attempt
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

    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=Keeping(kept))
    try:
        end = report(queue)
        charge.new("4111-1111")
        queue.run(burst=True, workers=1)
        assert queue.telemetry.settle(30)
        end()
    finally:
        sentry_sdk.init()
    [event] = kept
    [raised] = event["exception"]["values"]
    assert (raised["type"], raised["value"]) == ("ValueError", "declined after 9 digits")
    frame = raised["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["filename"]) == ("charge", __file__)
    assert event["contexts"]["mongoq"]["attempt"] == 3
    assert event["tags"]["mongoq.queue"] == "mail"
    assert "4111" not in repr(event)
