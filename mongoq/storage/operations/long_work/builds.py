"""Build indexes: start the command, then watch the build by short calls until it is over.

A build goes on without whoever asked for it, and on the next primary of the set; a command for an index that is being
built joins its build (mongod 6.0.5). So whatever becomes of the connection, the looks tell when the indexes are there,
and a command that was lost is sent again. On a standalone server a build ends with its command, and the list of indexes
shows one that is being built like a ready one: there only the reply, or `$currentOp`, tells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from mongoq.core.errors import StorageUnavailable
from mongoq.core.stats import OnProgress, Progress
from mongoq.storage.commands import Document, Op
from mongoq.storage.control import CreateIndexes, Join, Leave, ListIndexes, Pause, Start
from mongoq.storage.documents import indexes
from mongoq.storage.documents.indexes import Indexes
from mongoq.storage.operations.long_work.patience import LOOK_EVERY, LOOK_LIMIT, LOST_LOOKS, asked, operations

BUILD_LIMIT: Final = timedelta(hours=6)
MOST_AWAY: Final = 10
"""So many looks in a row may find no primary: 40 s at most, where an election takes 12."""
UNSEEN_LOOKS: Final = 30
"""As `LOST_LOOKS`, where the user may not see what the server works on: the command may wait for a lock."""
MOST_SENT: Final = 20
"""How often a command is sent: a server that ends it at once each time will not build."""
_PHASE: Final = re.compile(r"Index Build: ([a-z][a-z ]*?)(?: Index Build)?(?::|$)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long builds are waited for, and who hears of them."""

    looks: int | None = None
    """About so many seconds; None: as long as the server works on them."""
    on_progress: OnProgress | None = None


class _Watch:
    """What the looks at one build have found."""

    def __init__(self, collection: str, wanted: Indexes, quorum: str | None, patience: Patience) -> None:
        self.collection, self.wanted, self.quorum, self.patience = collection, wanted, quorum, patience
        self.command = CreateIndexes(collection, wanted, quorum, timeout=BUILD_LIMIT)
        self.handle: Any = None
        self.failure: StorageUnavailable | None = None
        self.everybody = True
        self.looks = self.away = self.missed = self.sent = 0

    def step(self) -> Op[bool]:
        """Send the command where it is not on its way, and wait for its reply or the next look; whether it is over."""
        if self.handle is None and not self.away:
            self.sent += 1
            if self.sent > MOST_SENT and self.failure is not None:
                raise self.failure
            self.handle = yield Start(asked(self.command))
        try:
            if self.handle is None:
                yield Pause(LOOK_EVERY)
            elif (yield Join(self.handle, LOOK_EVERY)) is not Join.PENDING:
                return True
        except StorageUnavailable as error:
            self.failure, self.handle = error, None
        return (yield from self.look())

    def look(self) -> Op[bool]:
        """Look how far the build is; whether it is over."""
        self.looks += 1
        try:
            existing: dict[str, Any] = yield ListIndexes(self.collection, timeout=LOOK_LIMIT)
            found = yield from self._operations()
        except StorageUnavailable:
            self.away += 1
            if self.away > MOST_AWAY:
                raise
            return False
        self.away = 0
        lacking = indexes.missing(self.wanted, existing)
        if not lacking and not found and (self.quorum is not None or found is not None):
            return True
        self._check_patience(lacking or list(self.wanted))
        self._tell(found or [])
        building = any(existing.get(name, {}).get("building") for name in lacking)
        self.missed = 0 if found or building else self.missed + 1
        most = UNSEEN_LOOKS if found is None else LOST_LOOKS
        if self.missed >= most and self.handle is not None:  # the server never got the command
            yield Leave(self.handle)
            self.handle, self.missed = None, 0
        return False

    def _operations(self) -> Op[list[Document] | None]:
        where = {"command.createIndexes": self.collection}
        if self.everybody:
            found = yield from operations(where, everybody=True)
            if found is not None:
                return found
            self.everybody = False
        return (yield from operations(where, everybody=False))

    def _check_patience(self, lacking: list[str]) -> None:
        if self.patience.looks is not None and self.looks >= self.patience.looks:
            names = f"{'index' if len(lacking) == 1 else 'indexes'} {', '.join(lacking)}"
            message = f"the {names} of {self.collection} are still being built, or wait for a majority of the set"
            raise StorageUnavailable(f"{message}; `mongoq init` shows how far they are", ambiguous=True)

    def _tell(self, found: list[Document]) -> None:
        if self.patience.on_progress is None:
            return
        rows = [row for row in found if "progress" in row] or found
        row = rows[0] if rows else {}
        phase = _PHASE.match(str(row.get("msg", "")))
        names = f"{self.collection}: {', '.join(self.wanted)}"
        progress = row.get("progress", {})
        work = f"{names}, {phase[1]}" if phase else names
        self.patience.on_progress(Progress(work, int(progress.get("done", 0)), progress.get("total")))


def build(collection: str, wanted: Indexes, quorum: str | None, patience: Patience) -> Op[None]:
    """Build indexes, or join their build, and return when they are there. Raises what `CreateIndexes` raises.

    Raises StorageUnavailable where no primary answers, or `patience` is over. The build itself may go on then.
    """
    watch = _Watch(collection, wanted, quorum, patience)
    try:
        while not (yield from watch.step()):
            pass
    except GeneratorExit:
        raise
    except BaseException:
        if watch.handle is not None:
            yield Leave(watch.handle)
        raise
    if watch.handle is not None:
        yield Leave(watch.handle)
