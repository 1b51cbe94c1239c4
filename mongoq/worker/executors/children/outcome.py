"""How the outcome of a handler crosses from a child to its parent: pickled, or described where it cannot be.

A result and a signal (`Retry`, `Move`, ...) arrive as the objects that they are. An error arrives as a `Described`:
its class may not be importable in the parent, and its traceback cannot be pickled.
"""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any, Final, NamedTuple

from mongoq.core.failures import LONGEST_MESSAGE, Described, describe
from mongoq.core.judging.done import Done, follow_up_of
from mongoq.core.judging.retrying import RetryRules
from mongoq.core.judging.verdict import Made, Outcome, Raised, Returned
from mongoq.core.signals import DeadlineExceeded, Fail, Interrupted, Signal
from mongoq.core.validation import shortened
from mongoq.worker.executors.batch import Work

NO_MEMORY: Final = "no memory was left to send the result"


class Answer(NamedTuple):
    """What came back from a child."""

    attempts: list[Work]
    """One that ran, or those that were not started."""
    ending: Outcome | None
    """How it ended; None where they were not started."""
    seconds: float
    following: Work | None
    """The attempt that has started meanwhile."""


class Unsent:
    """Stands for a result that cannot cross the pipe; it is kept as text, as one is that BSON cannot carry."""

    def __init__(self, told: str) -> None:
        self._told = told

    def __repr__(self) -> str:
        return self._told


def pack_result(value: Any) -> bytes | None:
    """What a handler returned, pickled."""
    if value is None:
        return None
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except MemoryError:
        raise MemoryError(NO_MEMORY) from None
    except Exception as error:  # noqa: BLE001 -- whatever a user's values raise when they are pickled
        return pickle.dumps(_without(value, error))


def _without(value: Any, error: Exception) -> Done[Any] | Unsent:
    """What is sent of a result that cannot be pickled. Tasks that follow are never left out: the attempt fails then."""
    if not isinstance(value, Done):
        if follow_up_of(value) is not None:
            raise Fail(f"what the handler returned cannot be sent to its worker: {error}") from error
        return Unsent(f"{shortened(value, LONGEST_MESSAGE // 2)} ({shortened(error)})")
    result = value.result
    return replace(value, result=Unsent(f"{shortened(result, LONGEST_MESSAGE // 2)} ({shortened(error)})"))


def unpack_result(packed: bytes | None) -> Made:
    """The outcome of a handler that returned."""
    try:
        return Returned(None if packed is None else pickle.loads(packed))  # noqa: S301 -- from our own child
    except Exception as error:  # noqa: BLE001 -- a user's class may raise anything when it is unpickled
        return Returned(Unsent(f"a result ({error})"))


def pack_error(error: BaseException, rules: RetryRules) -> tuple[bytes, Described | None]:
    """What a handler raised: a signal as it is with its cause described, any other error described."""
    if not isinstance(error, Signal | Interrupted) or isinstance(error, DeadlineExceeded):
        told = describe(error)
        told.refused = rules.refusal(error)  # here its classes are known, and what the user's functions make of it
        return pickle.dumps(told), None
    cause = describe(error.__cause__) if error.__cause__ else None
    try:
        return pickle.dumps(error), cause
    except Exception:  # noqa: BLE001 -- a user's own signal that cannot be pickled: the class that it extends will do
        base = next(kind for kind in type(error).__mro__ if kind.__module__ == Signal.__module__)
        make, (_, _, attributes) = error.__reduce__()
        kept = {name: attributes[name] for name in ("delay", "queue") if name in attributes}
        return pickle.dumps(make(base, (), kept | {"reason": str(attributes["reason"])})), cause


def unpack_error(packed: bytes, cause: Described | None) -> Made:
    """The outcome of a handler that raised."""
    try:
        error: BaseException = pickle.loads(packed)  # noqa: S301 -- from our own child
    except Exception as failure:  # noqa: BLE001 -- as above
        return Raised(failure)
    if cause is not None:
        error.__cause__ = cause
    return Raised(error)
