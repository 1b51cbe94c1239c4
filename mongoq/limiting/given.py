"""The options of limits, and those of tasks that are under some, checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from mongoq.core.validation import TAG_NAME, Checker, did_you_mean
from mongoq.limiting.limit import FIFO, ORDERS, Limit

if TYPE_CHECKING:
    from mongoq.core.tasks.new_task import NewTask

Limits: TypeAlias = str | Iterable[str] | Mapping[str, int]
"""The limits that a task is under: a name, several, or a mapping from names to weights."""

LIMIT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
MOST_LIMITS: Final = 8
MOST_AT_ONCE: Final = 10_000
MOST_WEIGHT: Final = 1_000_000
MOST_RATE: Final = 1_000_000
ALLOWED: Final = f"the name of a limit, or up to {MOST_LIMITS} of them in a list"


def check_limits(checker: Checker, task: NewTask) -> None:
    """Check `limits` of a new task, and set them as they are stored: weights by name."""
    given: Any = task.limits
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Iterable):
        checker.refuse("limits", given, ALLOWED)
        return
    weights = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given, 1)
    for name, weight in weights.items():
        checker.matching("limits", name, LIMIT_NAME)
        checker.integer(f"limits[{name!r}]", weight, 1, MOST_WEIGHT)
    if len(weights) > MOST_LIMITS:
        checker.refuse("limits", f"{len(weights)} limits", ALLOWED)
    object.__setattr__(task, "limits", weights or ())


def check_known(checker: Checker, names: Iterable[str], known: Mapping[str, Limit], field: str) -> None:
    """Check that these limits are there, and that a task is in one strict line at most."""
    lines = [name for name in names if name in known and known[name].is_fifo]
    if len(lines) > 1:
        checker.refuse(field, lines, "one limit of order='fifo' at most")
    for name in names:
        if name not in known:
            there = ", ".join(sorted(known)) or "there is none"
            meant = did_you_mean(name, list(known))
            checker.refuse(field, name, f"a limit that queue.limit(...) has made: {there}{meant}")


class Numbers(NamedTuple):
    """The numbers of a limit, as they were given."""

    concurrency: Any = None
    rate: Any = None
    per: Any = 1
    burst: Any = 1


def checked_limit(name: Any, numbers: Numbers, by: Any, order: Any) -> Limit:
    """A limit of these options; ConfigurationError lists all that is wrong with them."""
    concurrency, rate, per, burst = numbers
    checker = Checker()
    checker.matching("name", name, LIMIT_NAME)
    if concurrency is None and rate is None:
        checker.refuse("concurrency", None, f"a number from 1 to {MOST_AT_ONCE:,}, or a rate")
    if concurrency is not None:
        checker.integer("concurrency", concurrency, 1, MOST_AT_ONCE)
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= MOST_RATE):
        checker.refuse("rate", rate, f"a number above 0, at most {MOST_RATE:,}")
    stretch = checker.duration("per", per, positive=True)
    checker.integer("burst", burst, 1, MOST_WEIGHT)
    if rate is None and (per, burst) != (1, 1):
        checker.refuse("per" if per != 1 else "burst", per if per != 1 else burst, "with a rate")
    if by is not None:
        checker.matching("by", by, TAG_NAME)
    checker.one_of("order", order, ORDERS)
    if order == FIFO and concurrency != 1:
        checker.refuse("order", order, "with concurrency=1: two at once are in no order")
    checker.finish()
    assert stretch is not None
    return Limit(name, concurrency, by, order, rate, stretch, burst, concurrency or 0)
