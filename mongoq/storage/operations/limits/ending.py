"""What follows the end of tasks that were under limits."""

from __future__ import annotations

from collections.abc import Sequence

from mongoq.core.lifecycle import Event
from mongoq.storage.commands import Op
from mongoq.storage.context import Context
from mongoq.storage.operations.decide import Ended
from mongoq.storage.operations.limits import parking, rates


def make_room(context: Context, endings: Sequence[Ended], *, hands_over: bool = False) -> Op[None]:
    """Give back the starts of limits that were not used, and let others go that wait for the slots of these.

    With `hands_over` the caller gives the slots to those that wait.
    """
    unused = [one for ending in endings if ending.verdict.event is Event.RELEASE for one in ending.starts]
    yield from rates.give_back(context, rates.given(unused))
    if not hands_over:
        yield from parking.follow(context, [group for ending in endings for group in ending.frees], parking.AHEAD)
