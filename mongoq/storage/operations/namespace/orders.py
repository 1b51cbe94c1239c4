"""What operators order a fleet to do, in `<namespace>.control`: to pause, and single workers to stop.

Each order is one document whose key begins with `order:`. Processes read them all by one range of keys, which begins
with the version of the format. A signal lets them read at once; without signals they look every `LOOK_EVERY`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from mongoq.core.clock import elapsed
from mongoq.core.fleet import SignalKind
from mongoq.pausing.pause import Pause, Target
from mongoq.storage.commands import Delete, Document, Filter, Op, UpdateMany, find
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters
from mongoq.storage.documents import names as names_of
from mongoq.storage.documents.limiting import definitions
from mongoq.storage.operations.fleet import signals
from mongoq.storage.operations.namespace import format_version
from mongoq.storage.refusals import if_allowed

LOOK_EVERY: Final = 1.5
"""Seconds: an order is to be in force within 2 s."""
STOP_KEPT: Final = timedelta(days=1)
"""An order to a worker that is gone is deleted after so long."""
_PREFIX: Final = "order:"
_AFTER: Final = "order;"
_STOP: Final = f"{_PREFIX}stop:"
_PAUSE: Final = f"{_PREFIX}pause:"
_FLOW: Final = f"{_PREFIX}flow"
_PARKED: Final = f"{_PREFIX}parked"
"""Its document stays: tasks may be parked for a pause that has ended."""


class Orders(NamedTuple):
    """What was read."""

    pauses: list[Pause]
    stop: bool
    """Whether this worker is to stop."""


def read(context: Context, worker: str | None = None) -> Op[Orders]:
    """Read the orders, and let the gate of this process know what is paused."""
    sent = elapsed()
    stored = find(context.control, {fields.KEY: {"$gte": format_version.KEY, "$lt": _AFTER}})
    found = yield from if_allowed(stored, [])  # whoever may not read them is under none
    limits = definitions.read_from(found)
    keys = {document[fields.KEY] for document in found}
    parks = _PARKED in keys or bool(limits) or context.gate.limited
    pauses = [pause for document in found if (pause := _pause(document, parks=parks)) is not None]
    context.gate.note(
        pauses, sent, flow=_FLOW in keys, limits=limits, limited=parks,
        readable=any(map(format_version.readable, found)),
    )  # fmt: skip
    stop = worker is not None and any(document[fields.KEY] == f"{_STOP}{worker}" for document in found)
    return Orders(pauses, stop)


def read_if_old(context: Context) -> Op[None]:
    """Read the orders again where the gate was last read `LOOK_EVERY` ago or earlier."""
    if elapsed() - context.gate.read_at >= LOOK_EVERY:
        yield from read(context)


def _due_at(instant: datetime) -> Filter:
    """Tasks that were there and due at this instant, and that nobody has claimed since.

    The index of claims holds `run_at`, so what was enqueued later costs a scan one of its keys and no document.
    """
    return {
        fields.RUN_AT: {"$lte": instant},
        **filters.created_by(instant),
        fields.STARTED_AT: {"$not": {"$gt": instant}},
    }


def admitted(
    context: Context,
    queues: Sequence[str],
    where: Mapping[str, Any] | None,
    names: Sequence[str] = (),
    *,
    least: int | None = None,
    due_by: datetime | None = None,
) -> Filter | None:
    """The filter of the tasks that may be claimed now; None where all that is asked for is paused."""
    then = {} if due_by is None else _due_at(due_by)
    if not context.gate.pauses:
        return filters.ready(queues, where, names, least=least) | then
    free = context.gate.admit(queues, names, context.clock.now())
    if free is None:
        return None
    without = [one for held in free.without for one in names_of.held_by(held)]
    return filters.ready(free.queues, where, free.names, without, least) | then


def pause(context: Context, target: Target, told: Mapping[str, Any]) -> Op[Pause]:
    """Pause what is meant, over an earlier pause of the same."""
    now, key = context.clock.now(), _key(target)
    written: Document = {"queue": target.queue, "name": target.name, "at": now, **told}
    if target.tag is not None:
        written |= {"tag": target.tag, "value": target.value}
    yield UpdateMany(context.control, {fields.KEY: key}, {"$set": written}, upsert=True)
    yield from tell(context)
    done = _pause({fields.KEY: key, **written}, parks=context.gate.limited)
    assert done is not None
    return done


def begin_parking(context: Context) -> Op[None]:
    """Let claims park what is paused from now on; call it where the indexes for that are there."""
    first = {"$setOnInsert": {"at": context.clock.now()}}
    yield UpdateMany(context.control, {fields.KEY: _PARKED}, first, upsert=True)
    yield from tell(context)


def resume(context: Context, target: Target) -> Op[bool]:
    """End a pause; whether there was one in force."""
    now, key = context.clock.now(), _key(target)
    found = yield from find(context.control, {fields.KEY: key})
    yield Delete(context.control, {fields.KEY: key})
    yield from tell(context)
    return any(one.holds(now) for document in found if (one := _pause(document, parks=True)) is not None)


def stop(context: Context, worker: str, by: str) -> Op[None]:
    """Order a worker to stop when what it runs has ended."""
    now = context.clock.now()
    order = {"$set": {"by": by, "at": now}}
    yield UpdateMany(context.control, {fields.KEY: f"{_STOP}{worker}"}, order, upsert=True)
    old = {fields.KEY: {"$gte": _STOP, "$lt": _STOP[:-1] + ";"}, "at": {"$lt": now - STOP_KEPT}}
    yield Delete(context.control, old)
    yield from tell(context)


def taken(context: Context, worker: str) -> Op[None]:
    """Delete the order to a worker, which carries it out."""
    yield Delete(context.control, {fields.KEY: f"{_STOP}{worker}"})


def use_flow(context: Context) -> Op[None]:
    """Let all processes know that tasks have parents or batches here: they sweep for them from now on."""
    if context.gate.flow:
        return
    written = {"$setOnInsert": {"at": context.clock.now()}}
    yield UpdateMany(context.control, {fields.KEY: _FLOW}, written, upsert=True)
    yield from tell(context)


def uses_flow(context: Context) -> Op[bool]:
    """Whether tasks have parents or batches here, as far as somebody has noted it."""
    yield from read(context)
    return context.gate.flow


def tell(context: Context) -> Op[None]:
    """Let all processes read the orders; one that gets no signal looks by itself."""
    yield from read(context)
    yield from signals.hint(context, SignalKind.ORDERS)


def _key(target: Target) -> str:
    if target.tag is not None:
        return f"{_PAUSE}tag:{target.group}"
    if target.queue is not None:
        return f"{_PAUSE}queue:{target.queue}"
    return f"{_PAUSE}everything" if target.name is None else f"{_PAUSE}name:{target.name}"


def _pause(document: Document, *, parks: bool) -> Pause | None:
    """The pause in a document; None where it is no pause."""
    get = document.get
    at, until = get("at"), get("until")
    if not str(document[fields.KEY]).startswith(_PAUSE) or not isinstance(at, datetime):
        return None
    if not (until is None or isinstance(until, datetime)):
        return None
    tag, value = get("tag"), get("value")
    if tag is not None and not (isinstance(tag, str) and isinstance(value, str | int)):
        return None
    known = Pause(get("queue"), get("name"), get("reason"), str(get("by", "")), at, until, tag, value)
    return replace(known, walked_over=known.target.parks and not parks)
