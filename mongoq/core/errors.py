"""The errors that mongoq raises, as one tree.

    MongoqError
    ├── ConfigurationError (ValueError)   an option, a target or an argument is not acceptable
    ├── InvalidTask (ValueError)          a task was refused before anything was written
    ├── TaskNotFound (LookupError)        no task has this key
    ├── ScheduleNotFound, WorkerNotFound, BatchNotFound, LimitNotFound, BatchFinished    none of this name, or no more
    ├── DuplicateTask                     the key, or the `unique` value, is taken
    ├── WrongState                        the task's state does not allow it: nothing was written
    ├── LeaseLost                         the caller no longer holds the task: nothing was written
    │   └── AlreadyFinished               because it has ended
    ├── TaskNotCompleted                  a task that was waited for ended otherwise: see `mongoq.core.judging.ended`
    ├── DependencyError                   an atomic change was refused: see `mongoq.core.tasks.conflicts`
    ├── QueueClosed                       the queue was closed
    ├── QueueFull                         there is no room for the task: it was not enqueued
    ├── NewerFormat                       a newer mongoq wrote what this one cannot read: upgrade this process
    └── StorageError                      MongoDB did not carry out a command
        ├── StorageUnavailable            no reply: the same call may succeed later
        └── StorageRefused                the server refused: its cause must be removed first
            ├── IndexMissing              the collection lacks an index: `mongoq init` builds it
            └── Unsupported               a standalone server has no transactions; a one-node replica set has

Exceptions by which a handler steers its own task are signals, not errors: see `mongoq.core.signals`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = [
    "AlreadyFinished",
    "ConfigurationError",
    "DuplicateTask",
    "Fault",
    "IndexMissing",
    "InvalidTask",
    "LeaseLost",
    "MongoqError",
    "NewerFormat",
    "QueueClosed",
    "QueueFull",
    "StorageError",
    "StorageRefused",
    "StorageUnavailable",
    "TaskNotFound",
    "Unsupported",
    "WrongState",
]

UNAUTHORIZED: Final = 13
"""The server's code for a command that the user has no right to."""


class Fault(NamedTuple):
    """One value that was not accepted."""

    field: str
    """The option or the path of the value, such as `priority` or `tags.user.age`."""
    value: str
    """The value given, shortened."""
    allowed: str
    """What is accepted."""

    def __str__(self) -> str:
        return f"{self.field}: {self.value} is not {self.allowed}"


class MongoqError(Exception):
    """The root of every error that mongoq raises."""

    enqueued: int = 0
    """The number of tasks that `new_many` or `load` had enqueued before the error: the first ones of the input.

    The notes of the error say more. With a session they exist once its transaction commits, if the error left it
    open.
    """


class _Refused(MongoqError, ValueError):
    """An error that lists every fault of a call, as `faults`."""

    def __init__(self, faults: str | Sequence[Fault]) -> None:
        self.faults: tuple[Fault, ...] = () if isinstance(faults, str) else tuple(faults)
        super().__init__(faults if isinstance(faults, str) else "; ".join(map(str, faults)))


class ConfigurationError(_Refused):
    """An option, a target or an argument is not acceptable; `faults` lists every one: field, value, what is allowed."""


class InvalidTask(_Refused):
    """A task was refused before anything was written; `faults` lists every reason: field, value and what is allowed."""


class TaskNotFound(MongoqError, LookupError):
    """No task has this key: it never existed, or was deleted."""


class DuplicateTask(MongoqError):
    """A task with this `key`, or an unfinished one with this `unique` value, exists already; nothing was written."""

    def __init__(self, message: str, *, key: str | None = None, unique: str | None = None) -> None:
        super().__init__(message)
        self.key = key
        self.unique = unique


class WrongState(MongoqError):
    """The state of the task does not allow the call, and nothing was written; `state` is that state."""

    def __init__(self, key: str, state: str, wanted: str) -> None:
        super().__init__(f"the task {key!r} is {state}: {wanted}")
        self.key = key
        self.state = state


class LeaseLost(MongoqError):
    """Tasks are no longer held under their tokens: each has ended, or another claimant took it.

    Nothing was written for them; `keys` lists them. It is an AlreadyFinished where all of them have ended.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        super().__init__(f"the lease was lost on {len(self.keys)} task(s): {_listed(self.keys)}")


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")


class AlreadyFinished(LeaseLost):
    """The tasks have ended already, each once: nothing was written. `keys` lists them."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(keys)
        self.args = (f"{len(self.keys)} task(s) had ended already: {_listed(self.keys)}",)


class QueueClosed(MongoqError):
    """The queue was closed; open another."""


class QueueFull(MongoqError):
    """There is no room for the task now, and it was not enqueued."""


class NewerFormat(MongoqError):
    """A newer mongoq wrote tasks in a format that this one cannot read: upgrade mongoq in this process."""


class StorageError(MongoqError):
    """MongoDB did not carry out a command; `code` is the server's error code, or None."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class StorageUnavailable(StorageError):
    """No reply: there is no server, no primary, or the connection was lost. The same call may succeed later.

    `ambiguous` says that the write may have been applied all the same.
    """

    def __init__(self, message: str, *, code: int | None = None, ambiguous: bool = False) -> None:
        super().__init__(message, code=code)
        self.ambiguous = ambiguous


class StorageRefused(StorageError):
    """The server refused the command: a full disk, a missing right, a validator.

    The same call succeeds once the cause is removed.
    """

    @property
    def no_right(self) -> bool:
        """Whether this user lacks the right to the command."""
        return self.code == UNAUTHORIZED


class IndexMissing(StorageRefused):
    """The collection lacks an index that mongoq needs; `mongoq init` builds it."""


class Unsupported(StorageRefused):
    """The server is standalone and has no transactions; a replica set of one node has them."""
