"""Everything that can go wrong, as one tree.

    MongoqError
    ├── ConfigurationError (ValueError)   an option, a target or an argument is not acceptable
    ├── InvalidTask (ValueError)          a task was refused before anything was written
    ├── TaskNotFound (LookupError)        no task has this key
    ├── DuplicateTask                     the key, or the `unique` value, is taken
    ├── WrongState                        the task's state does not allow it: nothing was written
    ├── LeaseLost                         the task is no longer this claimant's: nothing was written
    ├── DependencyError                   an atomic change was refused, and says why: nothing was written
    ├── QueueClosed                       the queue was closed
    └── StorageError                      MongoDB did not do what it was asked
        ├── StorageUnavailable            no answer for now: the same call may succeed later
        └── StorageRefused                it answered no: something has to change first
            ├── IndexMissing              the collection lacks an index: `mongoq init` makes it
            └── Unsupported               a standalone server has no transactions; a one-node replica set has

What a handler raises to steer its own task is no error: see `mongoq.core.signals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

__all__ = [
    "ConfigurationError",
    "Conflict",
    "DependencyError",
    "DuplicateTask",
    "Fault",
    "IndexMissing",
    "InvalidTask",
    "LeaseLost",
    "MongoqError",
    "QueueClosed",
    "Role",
    "StorageError",
    "StorageRefused",
    "StorageUnavailable",
    "TaskNotFound",
    "Unsupported",
    "WrongState",
]


class Fault(NamedTuple):
    """One thing that is wrong with what was passed in."""

    field: str
    """The option or the path of the value, such as `priority` or `tags.user.age`."""
    value: str
    """The value as it was given, shortened."""
    allowed: str
    """What would have been accepted."""

    def __str__(self) -> str:
        return f"{self.field}: {self.value} is not {self.allowed}"


class MongoqError(Exception):
    """The root of every error that mongoq raises."""

    enqueued: int = 0
    """Of an error of `new_many` or `load`: so many tasks, the first ones, are enqueued; its notes say more.

    With a session they are there when its transaction commits, where the error leaves it open.
    """


class _Refused(MongoqError, ValueError):
    """An error that lists every fault of one call at once, as `faults`."""

    def __init__(self, faults: str | Sequence[Fault]) -> None:
        self.faults: tuple[Fault, ...] = () if isinstance(faults, str) else tuple(faults)
        super().__init__(faults if isinstance(faults, str) else "; ".join(map(str, faults)))


class ConfigurationError(_Refused):
    """An option, a target or an argument is not acceptable; `faults` lists each."""


class InvalidTask(_Refused):
    """A task was refused before anything was written; `faults` lists each reason."""


class TaskNotFound(MongoqError, LookupError):
    """No task has this key, or none any more."""


class DuplicateTask(MongoqError):
    """A task with this key, or an unfinished one with this `unique` value, exists already."""

    def __init__(self, message: str, *, key: str | None = None, unique: str | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.unique = unique


class WrongState(MongoqError):
    """The task runs under somebody's lease, or has finished, or is no task that can be changed: nothing was written.

    `state` says where it stands.
    """

    def __init__(self, key: str, state: str, wanted: str) -> None:
        super().__init__(f"the task {key!r} is {state}: {wanted}")
        self.key = key
        self.state = state


class LeaseLost(MongoqError):
    """Tasks are no longer held under their tokens: each has ended, or went to another claimant.

    Nothing was written for them. `keys` names them.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        shown = ", ".join(self.keys[:3]) + (", ..." if len(self.keys) > 3 else "")
        super().__init__(f"the lease was lost on {len(self.keys)} task(s): {shown}")


class Role(StrEnum):
    """What an atomic change wanted of a task."""

    INSERT = "insert"
    CHANGE = "change"
    DELETE = "delete"
    DEPEND = "depend"


class Conflict(NamedTuple):
    """One task that stood in the way of an atomic change."""

    key: str
    """Its key."""
    role: Role
    """What the change wanted of it."""
    why: str
    """What was found instead."""

    def __str__(self) -> str:
        return f"{self.role} {self.key!r}: {self.why}"


class DependencyError(MongoqError):
    """An atomic change was refused, because of the tasks listed; nothing was written.

    Read the tasks again and decide anew: the same change will be refused again.
    """

    def __init__(
        self,
        missing: Sequence[Conflict] = (),
        claimed: Sequence[Conflict] = (),
        collisions: Sequence[Conflict] = (),
    ) -> None:
        self.missing = tuple(missing)
        """Tasks that are not there any more, have moved on to another version, or have finished."""
        self.claimed = tuple(claimed)
        """Tasks that another claimant holds."""
        self.collisions = tuple(collisions)
        """Insertions whose key or `unique` value is taken."""
        found = [*self.missing, *self.claimed, *self.collisions]
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        super().__init__(f"the change was refused: {found[0] if found else 'nothing was named'}{more}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.missing, self.claimed, self.collisions)

    @property
    def has_missing(self) -> bool:
        """Whether a task was missing."""
        return bool(self.missing)

    @property
    def has_claims(self) -> bool:
        """Whether a task was held by another."""
        return bool(self.claimed)

    @property
    def has_collisions(self) -> bool:
        """Whether a key or `unique` value was taken."""
        return bool(self.collisions)


class QueueClosed(MongoqError):
    """The queue was closed; open another."""


class StorageError(MongoqError):
    """MongoDB did not do what it was asked. `code` is the server's, where it gave one."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class StorageUnavailable(StorageError):
    """No answer for now: no server, no primary, or a lost connection.

    `ambiguous` says that the write may have been applied although no reply came.
    """

    def __init__(self, message: str, *, code: int | None = None, ambiguous: bool = False) -> None:
        super().__init__(message, code=code)
        self.ambiguous = ambiguous


class StorageRefused(StorageError):
    """The server answered no: repeating helps once the cause is gone, not before.

    A full disk, a missing right or a validator may be put right while the same call is repeated.
    """


class IndexMissing(StorageRefused):
    """The collection lacks an index that mongoq needs; `mongoq init` makes it."""


class Unsupported(StorageRefused):
    """The server has no transactions because it stands alone; a replica set of one node is enough."""
