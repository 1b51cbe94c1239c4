"""Many tasks to be enqueued, checked and yielded one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from mongoq.core.errors import Fault, InvalidTask
from mongoq.core.tasks.new_task import NewTask, Tags, check_tags, copied
from mongoq.core.validation import MOST_FAULTS, Checker


def each(items: Iterable[Tags | NewTask], common: Mapping[str, Any]) -> Iterator[tuple[NewTask, Tags]]:
    """Check the items, and yield the options and tags of each; `common` are the options of items that are tags only.

    A collection is checked as a whole before the first item is yielded (1 µs each), any other iterable item by item.
    Raises InvalidTask with the place of each fault, such as `tasks[7].tags.user`.
    """
    options = NewTask(**common)
    at_hand = isinstance(items, Collection)
    if at_hand:
        _check_all(items)
    checker = Checker(InvalidTask)
    for place, item in enumerate(items):
        if isinstance(item, NewTask):
            try:
                item.check_again()
            except InvalidTask as error:
                raise InvalidTask(at(place, error.faults)) from None
            yield item, copied(item.tags)
            continue
        if not at_hand:
            check_tags(checker, item)
            if checker.faults:
                raise InvalidTask(at(place, checker.faults))
        yield options, copied(item)


def at(place: int, faults: Iterable[Fault]) -> list[Fault]:
    """Give the faults of one item the place of that item."""
    return [fault._replace(field=f"tasks[{place}].{fault.field}") for fault in faults]


def _check_all(items: Iterable[Tags | NewTask]) -> None:
    faults: list[Fault] = []
    checker = Checker(InvalidTask)
    for place, item in enumerate(items):
        if not isinstance(item, NewTask):
            check_tags(checker, item)
            if checker.faults:
                faults += at(place, checker.faults)
                checker = Checker(InvalidTask)
                if len(faults) >= MOST_FAULTS:
                    break
    if faults:
        raise InvalidTask(faults[:MOST_FAULTS])
