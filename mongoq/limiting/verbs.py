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
    """Make a limit, or change its numbers; return it. Tasks are under it by `limits=[name]`.

        queue.limit("tenant", concurrency=2, by="tenant")
        queue.limit("stripe", rate=100, per=60, burst=10)

    No more tasks of a group run at once than `concurrency` says, in the whole fleet: the server itself refuses one too
    many. What a crashed worker ran counts until its lease has run out. Starts are told by `rate`: never more than
    `rate + burst - 1` in any stretch of `per`, by the server's clock. What finds no room is parked, and no claim walks
    over it. New numbers are in force within 2 s; lower ones stop nothing that runs.

    Args:
        name: its name: letters, digits, `_` and `-`, at most 64.
        concurrency: how many run at once in each group, 1 to 10,000. Default: any number.
        rate: how many start in each group in `per`, evenly spread. Default: any number.
        per: the stretch of time of `rate`, in seconds or as a `timedelta`.
        burst: how many may start together after a while without any. Default: 1, which spreads all of them.
        by: the name of a tag. Tasks with the same value are a group; those without the tag are one, too. Default: all
            tasks of the limit are one group.
        order: who is next when there is room. `"priority"`: the most urgent of those that wait. `"fifo"`, with
            `concurrency=1`: strictly the one that was enqueued first; it keeps all behind it waiting until it has
            finished, also while it waits for its retry.

    Raises:
        ConfigurationError: an option is not acceptable, or the limit is there with another `by` or `order`.
    """
    wanted = checked_limit(name, Numbers(concurrency, rate, per, burst), by, order)
    return (yield from base.send(keeping.put(base.context, wanted, base.claimant)))


@verb
def consume(base: Base, name: str, n: int = 1, *, value: Any = None, wait: Duration | None = 0) -> Op[bool]:
    """Take `n` starts of a rate limit for work of your own, outside of tasks; whether they were to be had in time.

        if queue.consume("stripe", wait=5):
            stripe.charge(...)

    It returns at the instant from which the work may be done; starts that come too late are not taken.

    Args:
        name: the limit.
        n: the weight.
        value: the value of its tag, where it has `by`.
        wait: how long to wait for them. Default: not at all. None: for ever.

    Raises LimitNotFound where there is no limit of this name, and ConfigurationError where it has no rate.
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
    """The limits of the namespace, by name."""
    yield from base.read(orders.read(base.context))
    return [limit for _, limit in sorted(base.context.gate.limits.items())]


@verb
def limit_state(base: Base, name: str) -> Op[list[LimitGroup]]:
    """The groups of a limit in which tasks run or wait for room, the fullest first, at most 1,000.

    Raises LimitNotFound where there is none of this name.
    """
    _check_name(name)
    yield from base.read(keeping.one(base.context, name))
    return (yield from base.read(keeping.groups(base.context, [name])))


@verb
def limit_stats(base: Base, *, exact: bool = False) -> Op[dict[str, LimitStats]]:
    """How many tasks of each limit run and wait, over all its groups, by name; of the first 1,000 limits.

    Where workers run and there are more than 20,000 tasks it tells what one of them has counted for all
    (`counted_at`), and no task is read. Else it counts now, in the indexes, about 1 s per million tasks that wait.

    Args:
        exact: count now, however long that takes.
    """
    yield from base.read(orders.read(base.context))
    return (yield from base.read(answer.limits(base.context, exact=exact)))


@verb
def delete_limit(base: Base, name: str) -> Op[None]:
    """Delete a limit: tasks that are under it run as if it were not named. LimitNotFound where there is none."""
    _check_name(name)
    yield from base.send(keeping.delete(base.context, name))


def _check_name(name: str) -> None:
    checker = Checker()
    checker.matching("name", name, LIMIT_NAME)
    checker.finish()
