"""Verbs of limits: make and change them, look at them, delete them."""

from __future__ import annotations

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.validation import Checker
from mongoq.limiting.given import LIMIT_NAME, checked_limit
from mongoq.limiting.limit import PRIORITY, Limit, LimitGroup, LimitNotFound
from mongoq.storage.commands import Op
from mongoq.storage.operations.limits import keeping
from mongoq.storage.operations.namespace import orders


@verb
def limit(
    base: Base, name: str, *, concurrency: int | None = None, by: str | None = None, order: str = PRIORITY
) -> Op[Limit]:
    """Make a limit, or change its number; return it. Tasks are under it by `limits=[name]`.

        queue.limit("tenant", concurrency=2, by="tenant")

    No more tasks of a group run at once than `concurrency` says, in the whole fleet: the server itself refuses one too
    many. What a crashed worker ran counts until its lease has run out. What finds no room is parked, and no claim
    walks over it. A new number is in force within 2 s; a lower one stops nothing that runs.

    Args:
        name: its name: letters, digits, `_` and `-`, at most 64.
        concurrency: how many run at once in each group, 1 to 10,000.
        by: the name of a tag. Tasks with the same value are a group; those without the tag are one, too. Default: all
            tasks of the limit are one group.
        order: who is next when there is room. `"priority"`: the most urgent of those that wait. `"fifo"`, with
            `concurrency=1`: strictly the one that was enqueued first; it keeps all behind it waiting until it has
            finished, also while it waits for its retry.

    Raises:
        ConfigurationError: an option is not acceptable, or the limit is there with another `by` or `order`.
    """
    wanted = checked_limit(name, concurrency, by, order)
    made = yield from base.send(keeping.put(base.context, wanted, base.claimant))
    return made


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
    yield from base.read(orders.read(base.context))
    if name not in base.context.gate.limits:
        raise LimitNotFound(f"no limit has the name {name!r}")
    return (yield from base.read(keeping.groups(base.context, [name])))


@verb
def delete_limit(base: Base, name: str) -> Op[None]:
    """Delete a limit: tasks that are under it run as if it were not named. LimitNotFound where there is none."""
    _check_name(name)
    yield from base.send(keeping.delete(base.context, name))


def _check_name(name: str) -> None:
    checker = Checker()
    checker.matching("name", name, LIMIT_NAME)
    checker.finish()
