"""The document of a task: the only place that writes the names of its fields.

The shape is documented in the README ("The document") for producers in other languages, so it only grows.
`queue`, `state`, `priority`, `run_at` and `version` are always stored, other fields only where they say
something. A document that somebody else wrote may lack anything but these.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bson

from mongoq.backoff import Backoff, as_spec, from_spec
from mongoq.checks import Checker, whole_milliseconds
from mongoq.lifecycle import TaskState
from mongoq.model import Task, TaskError, task_of
from mongoq.new_task import NewTask
from mongoq.options import POLICY_NAMES, checked_policy
from mongoq.storage.codec import made_aware
from mongoq.storage.commands import Document

KEY: Final = "_id"
QUEUE: Final = "queue"
STATE: Final = "state"
PRIORITY: Final = "priority"
RUN_AT: Final = "run_at"
TAGS: Final = "tags"
PAYLOAD: Final = "payload"
CREATED_AT: Final = "created_at"
MODIFIED_AT: Final = "modified_at"
STARTED_AT: Final = "started_at"
FINISHED_AT: Final = "finished_at"
EXPIRES_AT: Final = "expires_at"
PURGE_AT: Final = "purge_at"
ATTEMPTS: Final = "attempts"
UNCHARGED: Final = "uncharged"
RETRIES: Final = "retries"
POLICY: Final = "policy"
TOKEN: Final = "token"  # noqa: S105 -- the name of a field
LAST_TOKEN: Final = "last_token"  # noqa: S105 -- the name of a field
WORKER: Final = "worker"
LEASE_UNTIL: Final = "lease_until"
SUSPECT: Final = "suspect"
VERSION: Final = "version"
LAST_ERROR: Final = "last_error"
ERRORS: Final = "errors"
RESULT: Final = "result"
NOTE: Final = "note"
MOVED_FROM: Final = "moved_from"
UNIQUE: Final = "unique"
CANCEL_REQUESTED: Final = "cancel_requested"
MODIFICATION: Final = "modification"
DEPENDED: Final = "depended"

PROOFS: Final = (TOKEN, LAST_TOKEN)
"""What only the holder of a task may see."""

MOST_ERRORS: Final = 10
_TYPES: Final[Mapping[str, Any]] = {
    QUEUE: str, PRIORITY: int | float, RUN_AT: datetime, EXPIRES_AT: datetime, ERRORS: list, TOKEN: str | None,
}  # fmt: skip
_STATES: Final[Mapping[Any, TaskState]] = {state.value: state for state in TaskState}  # the call takes 0.4 µs
_COUNTS: Final = (ATTEMPTS, UNCHARGED, RETRIES, SUSPECT)
_MOST: Final = 2**62
"""A count up to here can still grow in 64 bits."""
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST: Final[Document] = {QUEUE: "", PRIORITY: 0, RUN_AT: LONG_AGO, VERSION: 0}
_SHOWN: Final[Mapping[str, Any]] = {
    **dict.fromkeys((QUEUE, TOKEN, WORKER, NOTE, UNIQUE, MOVED_FROM), str),
    **dict.fromkeys((RUN_AT, CREATED_AT, MODIFIED_AT, STARTED_AT, FINISHED_AT, EXPIRES_AT, LEASE_UNTIL), datetime),
    **dict.fromkeys((ATTEMPTS, UNCHARGED, RETRIES, SUSPECT, VERSION), int),
    PRIORITY: int | float, TAGS: dict, POLICY: dict, ERRORS: list,
}  # fmt: skip


def model_document(new: NewTask, now: datetime, carried: Mapping[str, Any], expires_at: datetime | None) -> Document:
    """The document of a task that is enqueued at `now` with these options, but for its key and its tags."""
    run_at = new.run_at or now
    if new.delay is not None:
        delay = new.delay if isinstance(new.delay, timedelta) else timedelta(seconds=new.delay)
        run_at = whole_milliseconds(now + delay)
    due = run_at <= now
    document: Document = {
        QUEUE: new.queue,
        STATE: TaskState.READY.value if due else TaskState.SCHEDULED.value,
        PRIORITY: new.priority,
        RUN_AT: run_at,
        CREATED_AT: now,
        MODIFIED_AT: now,
        VERSION: 1,
    }
    for name, value in ((PAYLOAD, new.payload), (EXPIRES_AT, expires_at), (UNIQUE, new.unique)):
        if value is not None:
            document[name] = value
    if carried:
        document[POLICY] = policy_document(carried)
    return document


def new_document(model: Document, key: str, tags: Mapping[str, Any]) -> Document:
    """The document of one task made after a model."""
    return {KEY: key, TAGS: tags, **model}


def policy_document(carried: Mapping[str, Any]) -> Document:
    """What a task carries of a policy, as plain values: durations in seconds."""
    return {name: _plain(value) for name, value in carried.items()}


def policy_from(document: Any) -> Mapping[str, Any]:
    """The inverse; what is not acceptable (a foreign producer's) is left to the worker's own options.

    Remembered: of the thousands of tasks in a batch nearly all carry the same, and a look costs a tenth.
    """
    if not isinstance(document, dict):
        return {}
    try:
        return _policy_from(tuple(document.items()))
    except TypeError:
        pass  # a backoff is a document itself
    try:
        return _policy_from(_frozen(document))
    except TypeError:  # a foreign producer's value that cannot be hashed is no policy of ours
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
        checker = Checker()
        try:
            given = from_spec(dict(value)) if name == "backoff" else value
        except (TypeError, ValueError, AttributeError):
            continue
        checked = checked_policy(checker, {name: given})
        if not checker.faults:
            carried |= checked
    return carried


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return as_spec(value) if isinstance(value, Backoff) else value


def error_document(error: TaskError) -> Document:
    """One error as it is stored."""
    return {
        "type": error.type, "message": error.message, "traceback": error.traceback,
        "at": error.at, "attempt": error.attempt, "worker": error.worker,
    }  # fmt: skip


def error_from(document: Any) -> TaskError | None:
    """The inverse."""
    if not isinstance(document, dict):
        return None
    at, attempt = document.get("at"), document.get("attempt")
    return TaskError(
        str(document.get("type", "")),
        str(document.get("message", "")),
        str(document.get("traceback", "")),
        at if isinstance(at, datetime) else LONG_AGO,
        attempt if isinstance(attempt, int) else 0,
        str(document.get("worker", "")),
    )


def task_from(document: Document, namespace: str, now: datetime) -> Task:
    """The task that a document describes, read at `now`.

    By position, in the order of the fields of `Task`: a busy worker makes 25,000 a second.
    """
    get = document.get
    errors = get(ERRORS)
    policy = get(POLICY)
    return task_of(
        document[KEY],
        document[QUEUE],
        namespace,
        _STATES.get(document[STATE]) or TaskState(document[STATE]),
        document[PRIORITY],
        document[RUN_AT],
        get(TAGS) or {},
        get(PAYLOAD),
        get(CREATED_AT, LONG_AGO),
        get(MODIFIED_AT, LONG_AGO),
        get(STARTED_AT),
        get(FINISHED_AT),
        get(EXPIRES_AT),
        get(ATTEMPTS, 0),
        get(UNCHARGED, 0),
        get(RETRIES, 0),
        error_from(get(LAST_ERROR)),
        tuple(filter(None, map(error_from, errors))) if errors else (),
        get(RESULT),
        get(NOTE),
        get(MOVED_FROM),
        get(UNIQUE),
        policy_from(policy) if policy else {},
        get(WORKER),
        get(TOKEN),
        get(LEASE_UNTIL),
        get(SUSPECT, 0),
        bool(get(CANCEL_REQUESTED)),
        document[VERSION],
        now,
        None,
    )


class Unread:
    """A claimed task as the server told it: what its worker needs at once. The rest is read by who runs it.

    Reading takes a third of what this process spends on a task that does nothing. Left to the handlers' threads
    it goes on while the claimer waits for its next reply.
    """

    __slots__ = ("_document", "_namespace", "_read_at", "carried", "key", "suspect", "token")

    def __init__(self, document: Document, namespace: str, now: datetime) -> None:
        get = document.get
        policy = get(POLICY)
        self._document = document
        self._namespace = namespace
        self._read_at = now
        self.key: str = document[KEY]
        self.token: str | None = get(TOKEN)
        self.suspect: int = get(SUSPECT, 0)
        self.carried: Mapping[str, Any] = policy_from(policy) if policy else {}

    def read(self) -> Task:
        """The task."""
        return task_from(made_aware(self._document), self._namespace, self._read_at)


def seen_from(document: Document, namespace: str, now: datetime) -> Task | None:
    """The task that a document describes, to be looked at; None where its state is none of ours.

    What a foreign producer left out or got wrong is left out: to look at a task must not fail because of it.
    """
    state = document.get(STATE)
    if not isinstance(state, str) or state not in _STATES:
        return None
    fit = {name: value for name, value in document.items() if isinstance(value, _SHOWN.get(name, object))}
    return task_from(_LEAST | fit, namespace, now)


def fault_of(document: Document) -> str | None:
    """The first field that makes a document (a foreign producer's) no task, or None where it is one.

    Looked at before a claim, because one that cannot be read would stop its whole queue.
    """
    get = document.get
    if isinstance(document[KEY], dict | list):
        return KEY
    if not _is_count(get(VERSION)):
        return VERSION
    for name in (QUEUE, PRIORITY, RUN_AT):
        if not isinstance(get(name), _TYPES[name]):
            return name
    for name in _COUNTS:
        if name in document and not _is_count(document[name]):
            return name
    for name in (EXPIRES_AT, ERRORS, TOKEN):
        # Code is a str that cannot be hashed.
        if name in document and (not isinstance(document[name], _TYPES[name]) or isinstance(document[name], bson.Code)):
            return name
    return None


def _is_count(value: Any) -> bool:
    """Whether the server can add to it."""
    return isinstance(value, int) and value is not True and value is not False and -_MOST < value < _MOST
