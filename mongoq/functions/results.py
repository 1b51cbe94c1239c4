"""What a task function returns: a result, tasks that follow, or both in a `Done`."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from mongoq.core.judging.done import Done
from mongoq.core.tasks.modification import Modification
from mongoq.core.tasks.new_task import NewTask


def result_in(annotation: Any) -> Any:
    """The annotation of the result alone, where a function is annotated to return tasks or a `Done` as well."""
    if annotation is Done:
        return Any
    if get_origin(annotation) is Done:
        return get_args(annotation)[0]
    if annotation in (NewTask, Modification) or get_args(annotation) in ((NewTask,), (NewTask, Ellipsis)):
        return None
    if get_origin(annotation) in (Union, UnionType):
        return functools.reduce(operator.or_, (result_in(arm) for arm in get_args(annotation)))
    return annotation


def element_of(annotation: Any) -> Any:
    """The annotation of an element of a list; None where the annotation is no list."""
    if annotation is Any or annotation is list:
        return Any
    if get_origin(annotation) in (list, Sequence):
        return get_args(annotation)[0]
    return None


def entry_in(annotation: Any) -> Any:
    """The annotation of one result, where a batch function is annotated to return a list of them, or None.

    An entry that is an exception is no result.
    """
    elements = [element_of(arm) for arm in _arms(annotation) if arm not in (None, type(None))]
    kinds = [kind for element in elements for kind in _arms(element) if not _is_error(kind)]
    return functools.reduce(operator.or_, kinds) if kinds else None


def _arms(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _is_error(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def is_change(value: Any) -> bool:
    """Whether a handler asks for new tasks or another change, instead of returning a result."""
    if isinstance(value, NewTask | Modification):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, NewTask) for one in value)
