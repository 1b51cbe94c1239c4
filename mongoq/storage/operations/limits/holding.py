"""Park tasks whose name or value of a tag is paused, and let them go when it is resumed.

A claim that left them out by its filter would walk over all of them each time: no index knows of tags, and that of
claims without names does not know of names. It parks those that it finds instead, under a group that stands for the
pause, so that each is read once. Who parks reads the orders again: a resume before that is seen then, and one after it
finds the tasks parked. Where a large namespace lacks the indexes by which they are found again, none is parked, and the
filter leaves them out until `mongoq init` has built these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mongoq.core.errors import IndexMissing
from mongoq.pausing.pause import Pause, Target
from mongoq.storage.commands import Document, Op, nothing
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.operations import schema
from mongoq.storage.operations.limits import parking
from mongoq.storage.operations.namespace import orders


def admit(context: Context, found: list[Document]) -> Op[tuple[list[Document], int]]:
    """Those of these ready tasks that no pause of a name or a value holds back, and how many others were parked."""
    held = context.gate.parking(context.clock.now()) if context.gate.pauses else []
    return _admit(context, found, held) if held else nothing((found, 0))


def _admit(context: Context, found: Sequence[Document], held: Sequence[Pause]) -> Op[tuple[list[Document], int]]:
    shut: dict[str, list[Document]] = defaultdict(list)
    free: list[Document] = []
    for document in found:
        name, tags = document.get(fields.NAME), document.get(fields.TAGS)
        pause = next((one for one in held if one.tells(name, tags)), None)
        if pause is None:
            free.append(document)
        else:
            shut[pause.target.group].append(document)
    if shut and context.gate.limited:
        yield from parking.park(context, shut)
        yield from orders.read(context)
        lifted = shut.keys() - parking.held_groups(context)
        if lifted:
            yield from parking.look(context, lifted)
    return free, sum(map(len, shut.values()))


def begin(context: Context) -> Op[None]:
    """Let claims park what is paused, which they leave out by their filter until then. Raises as `schema.ensure`."""
    yield from schema.ensure(context, parks=True)
    yield from orders.begin_parking(context)


def let_go(context: Context, target: Target) -> Op[None]:
    """Make all tasks ready that were parked for this pause, which has ended; a sweep goes on where this is cut off."""
    try:
        while (yield from parking.look(context, [target.group])):
            pass
    except IndexMissing:
        return  # nothing was ever parked
