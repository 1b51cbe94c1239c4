"""OpenTelemetry: a span where a task is enqueued, and one for each attempt, in the same trace.

    instrument(queue)

The span `create QUEUE` (producer) is made where a task is enqueued; its context travels with the task, as
`task.context["traceparent"]`. Tasks that `new_many` gets as tags share one, each `NewTask` has its own, and so has a
batch for its callback. Each attempt is a span `process QUEUE` (consumer) below it, with links to it, to the attempt
before that failed (stored with its error, `task.last_error.trace`, so nothing grows) and to what its parents were
enqueued by. A call of a batch handler is one span with links to all of these; it is below a producer's span where all
its tasks were enqueued by the same one. With
`OTEL_SEMCONV_STABILITY_OPT_IN=messaging` spans have the attributes of the messaging conventions, with `messaging/dup`
both these and `mongoq.*`, else `mongoq.*` alone.

Only the API is used: without an SDK in the application nothing is recorded. Needs `mongoq[opentelemetry]`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from mongoq import AsyncQueue, Cancel, Move, NewTask, Queue, Snooze, Task
from mongoq.core.host.extras import needs
from mongoq.core.judging.verdict import Outcome, Raised

with needs("mongoq[opentelemetry]"):
    from opentelemetry import propagate, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ["instrument"]

LONGEST: Final = 1_000
"""Characters of a value that a task carries: what is longer, such as much baggage, stays behind."""
NO_ERRORS: Final = (Snooze, Cancel, Move)
"""What a handler raises to steer its task, and is no error."""
TRACEPARENT: Final = "traceparent"
ATTEMPT: Final = "mongoq.attempt"
SWITCH: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"


def instrument(queue: Queue | AsyncQueue) -> None:
    """Trace what this queue object enqueues, and what its workers run.

    Call it before other middleware is added, so that this is the outermost.
    The global tracer provider and propagator are used, so that child processes find the same ones.
    """
    queue._base.hooks.sending = created  # noqa: SLF001 -- no verb of a user's
    queue.middleware(processing)


def created(task: NewTask) -> Mapping[str, Any]:
    """What a task that is to be enqueued carries: the context of a span of its own."""
    attributes = _attributes("create", task.queue, task.name, task.key)
    with trace.get_tracer("mongoq").start_as_current_span(
        f"create {task.queue}", kind=SpanKind.PRODUCER, attributes=attributes
    ):
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
    return {name: value for name, value in carrier.items() if len(value) <= LONGEST}


def processing(task: Task) -> Iterator[None]:
    """Run one attempt in a span: a middleware."""
    producer = _carried(task)
    attributes = _attributes("process", task.queue, task.name, task.key) | {ATTEMPT: task.attempts}
    with _processing(task.queue, attributes, [task], producer) as span:
        try:
            yield
        except BaseException as error:
            _note(span, error)
            raise


def processing_many(tasks: Sequence[Task]) -> Generator[None, Sequence[Outcome], None]:
    """Run one call of a batch handler in a span: the other side of the middleware."""
    producers = {_span_of(carried).span_id: carried for carried in map(_carried, tasks)}
    parent = next(iter(producers.values())) if len(producers) == 1 else Context()
    first = tasks[0]
    names = {task.name for task in tasks}
    attributes = _attributes("process", first.queue, first.name if len(names) == 1 else None, None, count=len(tasks))
    with _processing(first.queue, attributes, tasks, parent) as span:
        outcomes = yield
        for outcome in outcomes:
            if isinstance(outcome, Raised):
                _note(span, outcome.error)


processing.together = processing_many  # type: ignore[attr-defined] # of a function


@contextmanager
def _processing(queue: str, attributes: dict[str, Any], tasks: Sequence[Task], parent: Context) -> Iterator[Span]:
    """A span around an attempt at these tasks, in whose errors it is stored."""
    with trace.get_tracer("mongoq").start_as_current_span(
        f"process {queue}", context=parent, kind=SpanKind.CONSUMER, attributes=attributes,
        links=_links(tasks), record_exception=False, set_status_on_exception=False,
    ) as span:  # fmt: skip
        traced = _written(span)
        for task in tasks:
            if task.attempt is not None:
                task.attempt.trace = traced
        yield span


def _links(tasks: Sequence[Task]) -> list[Link]:
    """What these tasks come from, each span once: who enqueued them and their parents, and the attempts before."""
    found: dict[tuple[int, int], Link] = {}
    for task in tasks:
        parents = () if task.attempt is None else task.attempt.parents.values()
        for one in (task, *parents):
            _add(found, _span_of(_carried(one)))
        before = task.last_error
        if before is not None and before.trace is not None:
            carried = TraceContextTextMapPropagator().extract({TRACEPARENT: before.trace})
            _add(found, _span_of(carried), {ATTEMPT: before.attempt})
    return list(found.values())


def _add(found: dict[tuple[int, int], Link], context: SpanContext, attributes: dict[str, Any] | None = None) -> None:
    if context.is_valid:
        found.setdefault((context.trace_id, context.span_id), Link(context, attributes))


def _carried(task: Task) -> Context:
    """The context of the span in which a task was enqueued."""
    return propagate.extract({name: value for name, value in task.context.items() if isinstance(value, str)}, Context())


def _span_of(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def _written(span: Span) -> str | None:
    """A span as a `traceparent`, whichever propagator the application has chosen for its tasks."""
    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(TRACEPARENT)


def _note(span: Span, error: BaseException) -> None:
    """Note what a handler has raised, unless that is no error."""
    if not isinstance(error, NO_ERRORS):
        kind = type(error).__qualname__
        span.set_attribute("error.type", kind)
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, kind))


def _attributes(
    operation: str, queue: str, name: str | None, key: str | None, count: int | None = None
) -> dict[str, Any]:
    wanted = [one.strip() for one in os.environ.get(SWITCH, "").split(",")]
    found: dict[str, Any] = {}
    if "messaging" in wanted or "messaging/dup" in wanted:
        found |= {
            "messaging.system": "mongoq", "messaging.destination.name": queue,
            "messaging.operation.name": operation, "messaging.operation.type": operation,
        }  # fmt: skip
        if key is not None:
            found["messaging.message.id"] = key
        if count is not None:
            found["messaging.batch.message_count"] = count
    if "messaging" not in wanted:
        found |= {"mongoq.queue": queue} | ({} if key is None else {"mongoq.key": key})
        found |= {} if count is None else {"mongoq.count": count}
    if name is not None:
        found["mongoq.name"] = name
    return found
