"""Decode documents into tasks. Other programs write documents too, so every field may be missing or wrong.

The claim path checks a document by `malformed_field` before the claim and decodes it by `task_from` after it, in the
thread that runs the handler. Reads by `get` and `tasks` must never fail: `task_shown` drops the wrong fields.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mongoq.core.judging.backoff import from_spec
from mongoq.core.judging.policy import POLICY_NAMES, checked_policy
from mongoq.core.lifecycle import TaskState
from mongoq.core.tasks.read_only import EMPTY, ReadOnly
from mongoq.core.tasks.reading import fill, partly_read, task_of
from mongoq.core.tasks.task import Failure, Task, TaskError
from mongoq.core.validation import Checker
from mongoq.flow.given import CANCEL
from mongoq.storage.commands import Document
from mongoq.storage.documents import fields, hold, progress
from mongoq.storage.documents.foreign.well_formed import COUNTS

_STATES: Final[Mapping[Any, TaskState]] = {state.value: state for state in TaskState}  # the call takes 0.4 µs
FOLLOW_UP: Final = "on_complete"
_FAILURES: Final[Mapping[str, Failure]] = {failure.value: failure for failure in Failure}
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST: Final[Document] = {fields.QUEUE: "", fields.PRIORITY: 0, fields.RUN_AT: LONG_AGO, fields.VERSION: 0}
_TEXTS: Final = (
    fields.QUEUE, fields.NAME, fields.NOTE, fields.UNIQUE, fields.MOVED_FROM, fields.BATCH, fields.WAITS_FOR,
    fields.ON_PARENT_FAILURE,
)  # fmt: skip
_INSTANTS: Final = (fields.RUN_AT, fields.CREATED_AT, fields.MODIFIED_AT, fields.FINISHED_AT, fields.EXPIRES_AT)
_SHOWN: Final[Mapping[str, Any]] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(_INSTANTS, datetime),
    **dict.fromkeys((*COUNTS, fields.VERSION), int),
    fields.PRIORITY: int | float,
    fields.TAGS: dict,
    fields.CONTEXT: dict,
    fields.POLICY: dict,
    fields.ERRORS: list,
    fields.HOLD: dict,
    fields.PROGRESS: dict,
    fields.PARENTS: list,
    fields.LIMITS: dict,
}
"""The type that a field must have to be shown."""


def task_from(document: Document, namespace: str, now: datetime) -> Task:
    """Decode a well-formed document that was read at `now`.

    The fields are passed by position, in the order of `Task`: a busy worker decodes 25,000 documents a second.
    """
    get = document.get
    errors = get(fields.ERRORS)
    policy = get(fields.POLICY)
    failure: Any = get(fields.FAILURE)
    token, worker, started_at, until = hold.read(document)
    modified_at = get(fields.MODIFIED_AT, LONG_AGO)
    finished_at = get(fields.FINISHED_AT)
    if started_at is not None:
        modified_at = max(modified_at, started_at)  # a claim writes its instant once
        if finished_at is not None and finished_at < started_at:  # estimates of two measurements, or of two processes
            finished_at = started_at
    return task_of(
        document[fields.KEY],
        document[fields.QUEUE],
        namespace,
        get(fields.NAME),
        _STATES.get(document[fields.STATE]) or TaskState(document[fields.STATE]),
        document[fields.PRIORITY],
        document[fields.RUN_AT],
        tags_shown(get(fields.TAGS)),
        get(fields.PAYLOAD),
        ReadOnly(carried) if (carried := get(fields.CONTEXT)).__class__ is dict else EMPTY,
        get(fields.CREATED_AT, LONG_AGO),
        modified_at,
        started_at,
        finished_at,
        get(fields.EXPIRES_AT),
        get(fields.ATTEMPTS, 0),
        get(fields.UNCHARGED, 0),
        get(fields.RETRIES, 0),
        error_from(get(fields.LAST_ERROR)),
        tuple(filter(None, map(error_from, errors))) if errors else (),
        _FAILURES.get(failure) if failure.__class__ is str else None,
        get(fields.RESULT),
        get(fields.NOTE),
        progress.read(said) if (said := get(fields.PROGRESS)) else None,
        get(fields.MOVED_FROM),
        get(fields.UNIQUE),
        tuple(parents) if (parents := get(fields.PARENTS)) else (),
        get(fields.ON_PARENT_FAILURE, CANCEL) if parents else None,
        fields.CHILDREN in document,
        get(fields.BATCH),
        ReadOnly(limits) if (limits := get(fields.LIMITS)).__class__ is dict else EMPTY,
        get(fields.WAITS_FOR),
        policy_from(policy) if policy else EMPTY,
        worker,
        token,
        until,
        get(fields.LOST_LEASES, 0),
        bool(get(fields.CANCEL_REQUESTED)),
        document[fields.VERSION],
        now,
        None,
    )


def new_task(model: Document, key: str, tags: Mapping[str, Any], namespace: str, *, partly: bool = False) -> Task:
    """The task of a model's document that was just enqueued; `partly` for one alone, of which few read but the key.

    Of many tasks that are kept together the whole ones cost less, since each is fewer objects to the garbage collector.
    """

    def whole() -> Task:
        return task_from({fields.KEY: key, fields.TAGS: tags, **model}, namespace, model[fields.CREATED_AT])

    if not partly:
        return whole()
    return partly_read(key, tags_shown(tags), None, model.get(fields.NAME), lambda task: fill(task, whole()))


def tags_shown(stored: Any) -> Mapping[str, Any]:
    """Tags as a task shows them, which nobody can change."""
    return ReadOnly(stored) if stored.__class__ is dict else stored or EMPTY


def task_shown(document: Document, namespace: str, now: datetime) -> Task | None:
    """Decode any document to be shown, without its missing and wrong fields; None when its state is unknown."""
    state = document.get(fields.STATE)
    if type(state) is not str or state not in _STATES:  # bson.Code is a str that cannot be hashed
        return None
    fit = {name: value for name, value in document.items() if isinstance(value, _SHOWN.get(name, object))}
    if fields.HOLD in fit:
        fit[fields.HOLD] = hold.shown(fit[fields.HOLD])
    return task_from(_LEAST | fit, namespace, now)


def policy_from(document: Any) -> Mapping[str, Any]:
    """Decode the policy that a task carries; values that are not acceptable are dropped, so the worker's own apply.

    Results are cached: nearly all tasks of a batch carry the same policy, and a cached one costs a tenth.
    """
    if not isinstance(document, dict):
        return {}
    if FOLLOW_UP in document:  # its tags may be of any kind: it is not cached
        rest = {name: value for name, value in document.items() if name != FOLLOW_UP}
        return ReadOnly({**policy_from(rest), **_acceptable(FOLLOW_UP, document[FOLLOW_UP])})
    try:
        return _policy_from(tuple(document.items()))
    except TypeError:
        pass  # a backoff is a document, which cannot be hashed
    try:
        return _policy_from(_frozen(document))
    except TypeError:  # a value that still cannot be hashed was not written by mongoq
        return {}


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple([(name, _frozen(inner)) for name, inner in value.items()])
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@functools.lru_cache(maxsize=1024, typed=True)
def _policy_from(items: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    carried: dict[str, Any] = {}
    for name, value in items:
        if name not in POLICY_NAMES:
            continue
        try:
            given = from_spec(dict(value)) if name == "backoff" else value
        except (TypeError, ValueError, AttributeError):
            continue
        carried |= _acceptable(name, given)
    return ReadOnly(carried)


def _acceptable(name: str, value: Any) -> dict[str, Any]:
    """The option of a policy by its name; nothing where its value is not acceptable."""
    checker = Checker()
    checked = checked_policy(checker, {name: value})
    return {} if checker.faults else checked


def error_from(document: Any) -> TaskError | None:
    """Decode one error; None when it is not a document."""
    if not isinstance(document, dict):
        return None
    at, attempt, trace = document.get("at"), document.get("attempt"), document.get("trace")
    kind, message, frames, worker = (str(document.get(text, "")) for text in ("type", "message", "traceback", "worker"))
    at, attempt = at if isinstance(at, datetime) else LONG_AGO, attempt if isinstance(attempt, int) else 0
    return TaskError(kind, message, frames, at, attempt, worker, trace if isinstance(trace, str) else None)
