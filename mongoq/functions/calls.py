"""Calls of a function as tasks: all of one function share what they have in common."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from operator import attrgetter
from typing import Any, Final

from mongoq.core.errors import InvalidTask
from mongoq.core.tasks.new_task import NewTask, check_tags
from mongoq.core.validation import Checker

_VALUES: Final = [item.name for item in fields(NewTask)]
_values_of: Final = attrgetter(*_VALUES)
_Draft: Final = make_dataclass("_Draft", _VALUES, slots=True, eq=False, repr=False)


def with_tags(model: NewTask, tags: dict[str, Any]) -> NewTask:
    """A task with the options of `model`, which are checked, and tags of its own; InvalidTask where these are wrong.

    It takes a third of the time of a `NewTask` that is made anew.
    """
    checker = Checker(InvalidTask)
    check_tags(checker, tags, warn=False)
    checker.finish()
    draft: Any = _Draft(*_values_of(model))
    draft.tags, draft.like = tags, model
    draft.__class__ = NewTask
    return draft  # type: ignore[no-any-return]
