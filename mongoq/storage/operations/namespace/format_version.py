"""The format of a namespace: which versions of mongoq can read what lies in it.

`<namespace>.control` holds one document `format`: the `version` of the newest process that has written here, and the
`oldest_reader` that understands what it wrote. A process that is older than that would misread tasks, so it stops with
a clear error: at its first use of the namespace, and a worker with its next heartbeat when a newer process came later.
Whoever may not read or write the document goes without the check.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from mongoq.core.errors import NewerFormat
from mongoq.diagnosis.facts import Format
from mongoq.storage.commands import Document, InsertOne, Op, UpdateMany, find_one
from mongoq.storage.context import Context
from mongoq.storage.documents import fields
from mongoq.storage.refusals import KeyTaken, if_allowed

FORMAT: Final = 2
"""The version of what this mongoq writes."""
OLDEST_READER: Final = 1
"""The oldest version that understands it, where nothing is in use that `require` was called for."""
LIMITS: Final = 2
"""The first version that keeps limits; one before would run more tasks at once than a limit allows."""
KEY: Final = "format"
"""Of its document in `.control`; the keys of orders come after it."""


def check(context: Context) -> Op[None]:
    """Raise NewerFormat where a newer mongoq has written what this one cannot read; else note this one's version."""
    yield from if_allowed(_check(context), None)


def read(context: Context) -> Op[Format]:
    """The format as it is stored, beside that of this process."""
    stored = (yield from find_one(context.control, {fields.KEY: KEY})) or {}
    version, oldest = (stored.get(name) for name in (fields.VERSION, fields.OLDEST_READER))
    return Format(FORMAT, *(one if isinstance(one, int) else None for one in (version, oldest)))


def readable(document: Document) -> bool:
    """Whether a document of `.control` is that of the format, and has this one or an older one that it reads."""
    version, oldest = document.get(fields.VERSION), document.get(fields.OLDEST_READER)
    own = document[fields.KEY] == KEY and isinstance(version, int) and version >= FORMAT
    return own and not (isinstance(oldest, int) and oldest > FORMAT)


def require(context: Context, version: int) -> Op[None]:
    """Keep processes out of the namespace that are older than this version, from now on."""
    yield UpdateMany(
        context.control,
        {fields.KEY: KEY},
        {"$max": {fields.VERSION: FORMAT, fields.OLDEST_READER: version}},
        upsert=True,
    )


def _check(context: Context) -> Op[None]:
    stored = yield from find_one(context.control, {fields.KEY: KEY})
    if stored is None:
        own = {fields.KEY: KEY, fields.VERSION: FORMAT, fields.OLDEST_READER: OLDEST_READER}
        with suppress(KeyTaken):
            yield InsertOne(context.control, own)
        return
    oldest, version = stored.get(fields.OLDEST_READER), stored.get(fields.VERSION)
    if isinstance(oldest, int) and oldest > FORMAT:
        raise NewerFormat(
            f"the namespace {context.namespace!r} has tasks of format {version}, for a mongoq that reads format "
            f"{oldest}; this one reads {FORMAT}: upgrade mongoq in this process"
        )
    if not isinstance(version, int) or version < FORMAT:
        older = {fields.KEY: KEY, fields.VERSION: {"$not": {"$gte": FORMAT}}}
        newest = {fields.VERSION: FORMAT, fields.OLDEST_READER: OLDEST_READER}
        yield UpdateMany(context.control, older, {"$set": newest})
