"""Verbs of limits: make and change them, look at them, delete them."""

from __future__ import annotations

from typing import Any

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.requests import checked_seconds
from mongoq.core.validation import Checker, Duration
from mongoq.limiting.given import LIMIT_NAME, MOST_WEIGHT, Numbers, checked_limit
from mongoq.limiting.limit import PRIORITY, Limit, LimitGroup
from mongoq.limiting.use import LimitStats
from mongoq.storage.commands import Op
from mongoq.storage.operations.history import answer
from mongoq.storage.operations.limits import keeping, rates
from mongoq.storage.operations.namespace import orders


@verb
def limit(
    base: Base,
    name: str,
    *,
    concurrency: int | None = None,
    rate: float | None = None,
    per: Duration = 1,
    burst: int = 1,
    by: str | None = None,
    order: str = PRIORITY,
) -> Op[Limit]:
    """Create a limit, or change its numbers; return it. Tasks name it by `limits=[name]`.

        queue.limit("tenant", concurrency=2, by="tenant")
        queue.limit("stripe", rate=100, per=60, burst=10)

    At most `concurrency` tasks of a group run at once in the whole fleet: the server itself refuses one more. Tasks of
    a crashed worker count until their leases have run out. With `rate`, at most `rate + burst - 1` tasks start in
    any stretch of `per`, by the server's clock. Tasks without room are parked, and claims do not read them. New numbers
    apply within 2 s; lower ones interrupt no running task.

    Args:
        name: letters, digits, `_` and `-`, at most 64 characters.
        concurrency: how many tasks of each group run at once, 1 to 10,000. Default: any number.
        rate: how many tasks of each group start in each `per`, evenly spread. Default: any number.
        per: the stretch of time of `rate`, in seconds or as a `timedelta`.
        burst: how many may start together after a time without starts. Default: 1, which spreads all of them.
        by: the name of a tag. Tasks with the same value are a group, and so are those without the tag. Default: all
            tasks of the limit are one group.
        order: which task is next when there is room. `"priority"`: the most urgent of those that wait. `"fifo"`, with
            `concurrency=1`: strictly the one that was enqueued first; all behind it wait until it has finished, also
            while it waits for its retry.

    Raises:
        ConfigurationError: an option is not acceptable, or the limit exists with another `by` or `order`.
    """
    wanted = checked_limit(name, Numbers(concurrency, rate, per, burst), by, order)
    return (yield from base.send(keeping.put(base.context, wanted, base.claimant)))


@verb
def consume(base: Base, name: str, n: int = 1, *, value: Any = None, wait: Duration | None = 0) -> Op[bool]:
    """Take `n` starts of a rate limit for your own work outside of tasks; return whether it got them in time.

        if queue.consume("stripe", wait=5):
            stripe.charge(...)

    It returns at the instant from which the work may be done. If that is later than `wait`, it takes none.

    Args:
        name: the limit.
        n: the weight of the work.
        value: the value of the limit's tag, if it has `by`.
        wait: how long to wait for them. Default: not at all; None: for ever.

    Raises:
        LimitNotFound: no limit has this name.
        ConfigurationError: the limit has no rate, or an argument is not acceptable.
    """
    _check_name(name)
    patience = checked_seconds("wait", wait)
    checker = Checker()
    checker.integer("n", n, 1, MOST_WEIGHT)
    checker.finish()
    yield from base.read(orders.read_if_old(base.context))
    found = yield from base.read(keeping.one(base.context, name))
    if found.rate is None:
        raise ConfigurationError([Fault("name", name, "a limit with a rate")])
    group = found.group({} if found.by is None else {found.by: value})
    return (yield from base.write(rates.consume(base.context, group, n, patience)))


@verb
def limits(base: Base) -> Op[list[Limit]]:
    """Return the limits of the namespace, ordered by name."""
    yield from base.read(orders.read(base.context))
    return [limit for _, limit in sorted(base.context.gate.limits.items())]


@verb
def limit_state(base: Base, name: str) -> Op[list[LimitGroup]]:
    """Return the groups of a limit in which tasks run or wait for room, the fullest first, at most 1,000.

    Raises:
        LimitNotFound: no limit has this name.
    """
    _check_name(name)
    yield from base.read(keeping.one(base.context, name))
    return (yield from base.read(keeping.groups(base.context, [name])))


@verb
def limit_stats(base: Base, *, exact: bool = False) -> Op[dict[str, LimitStats]]:
    """Return how many tasks of each limit run and wait, over all its groups, for the first 1,000 limits by name.

    If workers run and there are more than 20,000 tasks, it returns what one worker has counted for all (`counted_at`),
    and reads no task. Otherwise it counts now, in the indexes, at about 1 s per million waiting tasks.

    Args:
        exact: count now, however long that takes.
    """
    yield from base.read(orders.read(base.context))
    return (yield from base.read(answer.limits(base.context, exact=exact)))


@verb
def delete_limit(base: Base, name: str) -> Op[None]:
    """Delete a limit: tasks that name it run as if they did not.

    Raises:
        LimitNotFound: no limit has this name.
    """
    _check_name(name)
    yield from base.send(keeping.delete(base.context, name))


def _check_name(name: str) -> None:
    checker = Checker()
    checker.matching("name", name, LIMIT_NAME)
    checker.finish()
