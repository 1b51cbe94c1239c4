"""OpenTelemetry: a span where a task is enqueued, and one for each attempt, in the same trace.

    instrument(queue)

The span `create QUEUE` (producer) is made where a task is enqueued; its context travels with the task, as
`task.context["traceparent"]`. Tasks that `new_many` gets as tags share one, each `NewTask` has its own. Each attempt is
a span `process QUEUE` (consumer) below it, with a link to it: the attempts of a task that is retried, and the tasks of
a batch, each have their own. With
`OTEL_SEMCONV_STABILITY_OPT_IN=messaging` spans have the attributes of the messaging conventions, with `messaging/dup`
both these and `mongoq.*`, else `mongoq.*` alone.

Only the API is used: without an SDK in the application nothing is recorded. Needs `mongoq[opentelemetry]`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from mongoq import AsyncQueue, Cancel, Move, NewTask, Queue, Snooze, Task

__all__ = ["instrument"]

LONGEST: Final = 1_000
"""Characters of a value that a task carries: what is longer, such as much baggage, stays behind."""
NO_ERRORS: Final = (Snooze, Cancel, Move)
"""What a handler raises to steer its task, and is no error."""
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
    carried = {name: value for name, value in task.context.items() if isinstance(value, str)}
    parent = propagate.extract(carried)
    producer = trace.get_current_span(parent).get_span_context()
    attributes = _attributes("process", task.queue, task.name, task.key)
    attributes["mongoq.attempt"] = task.attempts
    with trace.get_tracer("mongoq").start_as_current_span(
        f"process {task.queue}", context=parent, kind=SpanKind.CONSUMER, attributes=attributes,
        links=[Link(producer)] if producer.is_valid else [], record_exception=False, set_status_on_exception=False,
    ) as span:  # fmt: skip
        try:
            yield
        except BaseException as error:
            if not isinstance(error, NO_ERRORS):
                kind = type(error).__qualname__
                span.set_attribute("error.type", kind)
                span.record_exception(error)
                span.set_status(Status(StatusCode.ERROR, kind))
            raise


def _attributes(operation: str, queue: str, name: str | None, key: str | None) -> dict[str, Any]:
    wanted = [one.strip() for one in os.environ.get(SWITCH, "").split(",")]
    found: dict[str, Any] = {}
    if "messaging" in wanted or "messaging/dup" in wanted:
        found |= {
            "messaging.system": "mongoq", "messaging.destination.name": queue,
            "messaging.operation.name": operation, "messaging.operation.type": operation,
        }  # fmt: skip
        if key is not None:
            found["messaging.message.id"] = key
    if "messaging" not in wanted:
        found |= {"mongoq.queue": queue} | ({} if key is None else {"mongoq.key": key})
    if name is not None:
        found["mongoq.name"] = name
    return found
