"""A task as a dict that JSON carries, and back; and a new task made from an old one.

How a value is written follows from the type that its field declares, so that a new field needs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mongoq.core.errors import InvalidTask
from mongoq.core.judging.backoff import Backoff, as_spec, from_spec
from mongoq.core.judging.follow_up import FollowUp
from mongoq.core.judging.policy import POLICY_NAMES, checked_policy
from mongoq.core.lifecycle import TaskState
from mongoq.core.serial.plain import from_plain, instant, to_plain
from mongoq.core.tasks.new_task import NewTask
from mongoq.core.tasks.progress import LogLine, TaskProgress
from mongoq.core.tasks.read_only import EMPTY, ReadOnly
from mongoq.core.tasks.task import Failure, Task, TaskError
from mongoq.core.validation import Checker, did_you_mean

LIVE: Final = "attempt"
PROOF: Final = "token"
OF_THE_USER: Final = ("payload", "result")
"""Fields whose value may be an instant of a user's, which is written so that it is read as one."""


def to_dict(task: Task, *, token: bool = False) -> dict[str, Any]:
    """The task's fields in JSON's types; the token of its claim only where it is asked for."""
    hidden = {LIVE} if token else {LIVE, PROOF}
    shown = [item for item in fields(task) if item.name not in hidden]
    return {item.name: _written(getattr(task, item.name), item.name) for item in shown}


def from_dict(values: Mapping[str, Any]) -> Task:
    """The task of a `to_dict`; raises InvalidTask with every value that is not acceptable."""
    checker = Checker(InvalidTask)
    if not isinstance(values, Mapping):
        checker.refuse("task", values, "a mapping, as task.to_dict() returns it")
        checker.finish()
    known = {item.name: item for item in fields(Task) if item.name != LIVE}
    for name in values.keys() - known.keys():
        checker.refuse(str(name), values[name], f"a field of a task{did_you_mean(name, list(known))}")
    given = {name: _restored(checker, item, values.get(name)) for name, item in known.items()}
    checker.finish()
    return Task(**given)


def again(task: Task, changes: Mapping[str, Any]) -> NewTask:
    """A new task with what a producer gave to this one, but for its key and its times."""
    kept = {
        "tags": task.tags, "queue": task.queue, "priority": task.priority, "payload": task.payload,
        "unique": task.unique, "name": task.name, "context": task.context or None,
        "limits": dict(task.limits) or (),
    }  # fmt: skip
    policy = {name: value for name, value in task.policy.items() if name in POLICY_NAMES}
    known = [item.name for item in fields(NewTask) if item.init]
    for name in changes:
        if name not in known:
            raise TypeError(f"Task.again() has no option {name!r}{did_you_mean(name, known)}")
    return NewTask(**{**kept, **policy, **changes})


def _written(value: Any, name: str) -> Any:
    if isinstance(value, datetime) and name not in OF_THE_USER:
        return instant(value)
    if isinstance(value, TaskError):
        return {**asdict(value), "at": instant(value.at)}
    if isinstance(value, TaskProgress):
        lines = [{"at": instant(line.at), "text": line.text} for line in value.log]
        return {**asdict(value), "at": instant(value.at), "log": lines}
    if isinstance(value, tuple):  # the errors, and the keys of parents
        return [_written(error, name) for error in value]
    if name == "policy":
        return {option: _written_option(one) for option, one in value.items()}
    return to_plain(value, name)


def _written_option(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, FollowUp):
        return to_plain(value.as_spec(), "on_complete")
    return as_spec(value) if isinstance(value, Backoff) else value


def _restored(checker: Checker, item: Field[Any], value: Any) -> Any:
    """The value of one field; a missing one gets what a task has that says nothing of it."""
    kind, _, optional = str(item.type).partition(" | ")
    if value is None and (optional or kind in _MISSING):
        return None if optional else _MISSING[kind]
    restore, allowed = (_policy, "a mapping of options") if item.name == "policy" else _KINDS[kind]
    try:
        return restore(value)
    except (TypeError, ValueError, LookupError, AttributeError):
        checker.refuse(item.name, value, allowed)
        return None


def _exactly(kind: type) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return checked


def _instant(value: str) -> datetime:
    read = datetime.fromisoformat(value)
    if read.tzinfo is None:
        raise ValueError
    return read.astimezone(UTC)


def _mapping(value: Mapping[str, Any]) -> ReadOnly:
    return ReadOnly(from_plain(dict(value.items())))


def _policy(value: Mapping[str, Any]) -> ReadOnly:
    checker = Checker(InvalidTask)
    restored: dict[str, Callable[[Any], Any]] = {"backoff": from_spec, "on_complete": from_plain}
    given = {name: restored.get(name, _same)(one) for name, one in value.items() if name in POLICY_NAMES}
    checked = checked_policy(checker, given)
    checker.finish()
    return ReadOnly(checked)


def _same(value: Any) -> Any:
    return value


def _error(value: Mapping[str, Any]) -> TaskError:
    return TaskError(**{**value, "at": _instant(value["at"])})


def _progress(value: Mapping[str, Any]) -> TaskProgress:
    lines = tuple(LogLine(_instant(line["at"]), line["text"]) for line in value["log"])
    return TaskProgress(**{**value, "at": _instant(value["at"]), "log": lines})


_MISSING: Final[Mapping[str, Any]] = {
    "int": 0, "bool": False, "Any": None, "Mapping[str, Any]": EMPTY, "tuple[TaskError, ...]": (),
    "tuple[str, ...]": (),
}  # fmt: skip
"""By the type of a field: its value where a dict has none."""
_KINDS: Final[Mapping[str, tuple[Callable[[Any], Any], str]]] = {
    "str": (_exactly(str), "a string"),
    "int": (_exactly(int), "an integer"),
    "bool": (_exactly(bool), "True or False"),
    "datetime": (_instant, "an instant in ISO 8601 with a time zone"),
    "TaskState": (TaskState, f"one of {', '.join(TaskState)}"),
    "Failure": (Failure, f"one of {', '.join(Failure)}"),
    "Any": (from_plain, "a value in the form of task.to_dict()"),
    "Mapping[str, Any]": (_mapping, "a mapping"),
    "TaskError": (_error, "an error of task.to_dict()"),
    "TaskProgress": (_progress, "the progress of task.to_dict()"),
    "tuple[str, ...]": (lambda value: tuple(map(_exactly(str), value)), "a list of strings"),
    "tuple[TaskError, ...]": (lambda value: tuple(map(_error, value)), "a list of errors of task.to_dict()"),
}
"""By the type of a field: how it is restored, and what is accepted."""
