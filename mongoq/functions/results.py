"""What a task function returns: a result, tasks that follow, or both in a `Done`."""

from __future__ import annotations

import functools
import operator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from mongoq.core.judging.done import Done
from mongoq.core.modification import Modification
from mongoq.core.new_task import NewTask


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


def is_change(value: Any) -> bool:
    """Whether a handler asks for new tasks or another change, instead of returning a result."""
    if isinstance(value, NewTask | Modification):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(one, NewTask) for one in value)
