"""What a producer carries to the handlers of its tasks beside their tags: trace ids, a tenant."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mongoq.core.errors import InvalidTask
from mongoq.core.validation import Checker

__all__ = ["ContextHook", "checked_context", "filled"]

ContextHook = Callable[[], Mapping[str, Any]]
"""Tells what each task of this caller is to carry."""

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
MOST: Final = 32
LONGEST: Final = 1_000
"""Characters of a value: a `tracestate` has at most 512."""
ALLOWED: Final = 'a mapping of names to strings, numbers, True, False or None, such as {"tenant": "acme"}'


def checked_context(checker: Checker, given: Any) -> dict[str, Any]:
    """Check a context, and return a copy."""
    if not isinstance(given, Mapping):
        checker.refuse("context", given, ALLOWED)
        return {}
    if len(given) > MOST:
        checker.refuse("context", f"{len(given)} values", f"at most {MOST} values")
    for name, value in given.items():
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            checker.refuse("context name", name, "a letter, then letters, digits, `_` or `-`; at most 64 characters")
        elif isinstance(value, str):
            if value:
                checker.text(f"context.{name}", value, LONGEST)
        elif isinstance(value, float) or value is None or isinstance(value, bool):
            continue
        elif not isinstance(value, int) or not -(2**63) <= value < 2**63:
            checker.refuse(f"context.{name}", value, "a string, a number of 64 bits, True, False or None")
    return dict(given)


def filled(given: Mapping[str, Any] | None, hook: ContextHook) -> dict[str, Any]:
    """The context of a task: what the hook tells, under what was given. InvalidTask where the hook tells no context."""
    checker = Checker(InvalidTask)
    told = checked_context(checker, hook())
    checker.finish()
    return {**told, **(given or {})}
