"""The verb that reads tasks page by page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from mongoq.api.base import Base
from mongoq.api.verb import verb
from mongoq.core.lifecycle import TaskState
from mongoq.core.validation import Checker
from mongoq.paging.page import PageRequest, Place, TaskPage, place_from
from mongoq.storage.commands import Op
from mongoq.storage.operations.looking import pages

MOST: Final = 150
"""Rows of a page: the newest of all queues are merged from the queues that have the newest."""


@verb
def page(
    base: Base,
    *,
    queue: str | None = None,
    state: TaskState | str | None = None,
    name: str | None = None,
    where: Mapping[str, Any] | None = None,
    error: str | None = None,
    prefix: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Op[TaskPage]:
    """Return one page of the tasks that match, without payloads, and where the next one begins.

    By queue, state, the prefix of a key, the time of finished tasks, and the name of ready ones, it reads as many
    documents as it shows. By anything else it looks at up to 10,000 tasks, and says how many: the next page continues
    behind them, so a page may be empty and not the last.

    The order is that of an index: ready tasks as they will be claimed, scheduled ones by `run_at`, running ones by
    the end of their lease, finished ones with the newest first; without a state by key, the newest first, and within
    one queue state by state: running, ready, scheduled, failed, expired, cancelled, completed. Parked tasks are found
    by `state="parked"` only.

    Args:
        queue: of this queue.
        state: in this state.
        name: of this task function, at any revision where it names none.
        where: with these tags, by equality.
        error: whose last attempt failed with this type of error, such as `"TimeoutError"`.
        prefix: whose keys begin so; without a queue and a state.
        since, until: finished ones by `finished_at` where the state is a final one, others by `created_at`.
        after: `after` of the page before.
        limit: at most so many tasks, 1 to 150.

    Raises:
        ConfigurationError: an argument is not acceptable.
    """
    checker = Checker()
    for field, text in (("queue", queue), ("name", name), ("error", error), ("prefix", prefix)):
        if text is not None:
            checker.text(field, text, 512)
    if state is not None:
        checker.one_of("state", state, [one.value for one in TaskState])
    if where is not None:
        checker.tags("where", where)
    if prefix is not None and (queue is not None or state is not None):
        checker.refuse("prefix", prefix, "allowed together with queue or state")
    checker.integer("limit", limit, 1, MOST)
    begins, ends = (
        None if one is None else checker.instant(field, one) for field, one in (("since", since), ("until", until))
    )
    place = _place(checker, after)
    checker.finish()
    chosen = None if state is None else TaskState(state)
    wanted = PageRequest(queue, chosen, name, dict(where or {}), error, prefix, begins, ends, limit)
    return (yield from base.read(pages.page(base.context, wanted, place)))


def _place(checker: Checker, after: Any) -> Place | None:
    if after is None:
        return None
    try:
        return place_from(after)
    except (ValueError, TypeError):
        checker.refuse("after", after, "`after` of the page before")
        return None
