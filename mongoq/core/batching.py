"""Batch handlers: how many tasks one call takes, and what its return says of each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from mongoq.core.judging.verdict import NO_RESULT, Outcome, Raised, Returned
from mongoq.core.validation import Checker, Duration, shortened

MOST_TOGETHER: Final = 1_000
"""Tasks that one call takes at most: as many as one claim brings."""
WAIT: Final = 0.5
SHORTEST_WAIT: Final = 0.01
"""Seconds; a claim that completes a batch takes some milliseconds."""
LONGEST_WAIT: Final = 3_600.0


class BatchRule(NamedTuple):
    """Which tasks a handler takes together."""

    most: int
    """So many tasks are one call at most."""
    wait: float
    """Seconds for which the first of them waits for the others."""
    names: tuple[str, ...] = ()
    """The names of the tasks; without any, all tasks are meant."""


def checked_batch(checker: Checker, batch: object, wait: Duration | None) -> tuple[int, float] | None:
    """How many tasks a call takes, and the seconds for which it waits; None where it takes one at a time."""
    if batch is None:
        if wait is not None:
            checker.refuse("wait", wait, "allowed without batch=, the number of tasks that a call takes")
        return None
    most = checker.integer("batch", batch, 1, MOST_TOGETHER)
    length = checker.duration("wait", WAIT if wait is None else wait)
    if most is None or length is None:
        return None
    seconds = length.total_seconds()
    if not SHORTEST_WAIT <= seconds <= LONGEST_WAIT:
        checker.refuse("wait", wait, f"from {SHORTEST_WAIT} to {LONGEST_WAIT:.0f} seconds")
    return most, seconds


def outcomes_of(value: Any, count: int, handler: object) -> list[Outcome]:
    """What the return value of a call says of each of its tasks.

    None completes all of them. Otherwise it has an entry for each: a result, or an exception, as if it was raised.
    """
    if value is None:
        return [NO_RESULT] * count
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == count:
        return [Raised(one) if isinstance(one, BaseException) else Returned(one) for one in value]
    told = f"{len(value)} entries" if isinstance(value, list | tuple) else shortened(value)
    error = TypeError(
        f"{handler} returned {told} for {count} tasks: a batch handler returns None, or an entry for each"
    )
    return [Raised(error)] * count


async def only_awaited(called: Awaitable[Any], part: Callable[[Any], Sequence[Outcome]] = list) -> Any:
    """`only` of what a coroutine brings."""
    return only(part(await called))


def only(outcomes: Sequence[Outcome]) -> Any:
    """The result of the one task of a call; raises what it came to instead."""
    (outcome,) = outcomes
    if isinstance(outcome, Raised):
        raise outcome.error
    return outcome.value if isinstance(outcome, Returned) else None
