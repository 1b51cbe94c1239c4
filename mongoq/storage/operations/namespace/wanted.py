"""Which indexes a namespace lacked that are built where something is used first: for `mongoq init` to build them.

A large collection is not indexed by whoever meets it first. A worker that knows task functions, or the first limit, is
refused then, and leaves no task behind by which `mongoq init` would know what to build: so it leaves this note.
"""

from __future__ import annotations

from typing import Final

from mongoq.storage.commands import Op, Update, UpdateMany, find_one
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.refusals import if_allowed

NAMED: Final = "named"
FLOW: Final = "flow"
LIMITS: Final = "limits"
FAIR: Final = "fair"
PARKS: Final = "parks"
USES: Final = (NAMED, FLOW, LIMITS, FAIR, PARKS)
_KEY: Final = "wanted_indexes"


def note(context: Context, **uses: bool) -> Op[None]:
    """Note what is used here; whoever may not write that is refused all the same, and nothing is noted."""
    told = {use: True for use, used in uses.items() if used}
    if not told:
        return
    yield from if_allowed(_note(context, told), None)


def _note(context: Context, told: Update) -> Op[None]:
    yield UpdateMany(context.control, {fields.KEY: _KEY}, {"$set": told}, upsert=True)


def noted(context: Context) -> Op[frozenset[str]]:
    """What was noted, of `USES`; nothing to whoever may not read it."""
    found = yield from if_allowed(find_one(context.control, {fields.KEY: _KEY}), None)
    return frozenset(use for use in USES if found is not None and found.get(use) is True)
