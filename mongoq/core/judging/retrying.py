"""Which errors of a handler are retried: `retry_on` and `no_retry_on`.

Both are lists of exception classes, of their names, and of predicates. A class is kept as its name, and an error is
matched by the names of its classes: so a list travels with a task, and to a child process, without any import.

An error that was raised from another (`raise X from Y`) is matched by both. Of an exception group one error that
`no_retry_on` names is enough, and all have to be named by `retry_on`. A predicate that raises is passed over: the error
is retried as it would be without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mongoq.core.judging.steering import leaves, links
from mongoq.core.validation import Checker

__all__ = ["Matcher", "RetryOn", "RetryRules", "checked_matchers", "storable"]

log = logging.getLogger("mongoq.worker")

Matcher = str | Callable[[BaseException], object]
"""The name of an exception class, or a predicate."""
One = type[BaseException] | Matcher
RetryOn = One | Iterable[One]
"""What a user gives: a class, its name (`"ConnectionError"` or `"shop.mail.BadAddress"`), a predicate, or a list."""

MOST: Final = 64
ALLOWED: Final = "an exception class, its name, or a function of the error; or a list of these"
_MAIN: Final = ("__main__", "__mp_main__")
"""The module of what a script itself defines: a child and a producer know it by other names."""


def checked_matchers(checker: Checker, field: str, given: Any) -> tuple[Matcher, ...]:
    """Check what a user gives, and return the classes by their names."""
    several = isinstance(given, Iterable) and not isinstance(given, str | type)
    items = list(given) if several else [given]
    if len(items) > MOST:
        checker.refuse(field, f"{len(items)} items", f"at most {MOST} items")
    found = [_checked(checker, f"{field}[{place}]" if several else field, item) for place, item in enumerate(items)]
    return tuple(matcher for matcher in found if matcher is not None)


def storable(matchers: object) -> bool:
    """Whether they can travel with a task: all but predicates can."""
    return matchers is None or (isinstance(matchers, tuple) and all(isinstance(matcher, str) for matcher in matchers))


class RetryRules(NamedTuple):
    """Which errors are retried."""

    retry_on: tuple[Matcher, ...] | None = None
    """None: all but those of `no_retry_on`."""
    no_retry_on: tuple[Matcher, ...] = ()

    def over(self, carried: Mapping[str, Any]) -> RetryRules:
        """These rules with those that a task carries."""
        if not carried:
            return self
        return RetryRules(carried.get("retry_on", self.retry_on), carried.get("no_retry_on", self.no_retry_on))

    def refusal(self, error: BaseException) -> str | None:
        """The name of the option by which an error is not retried; None where it is."""
        found = leaves(error)
        if self.no_retry_on and any(_matches(self.no_retry_on, one, otherwise=False) for one in (error, *found)):
            return "no_retry_on"
        if self.retry_on is None or _matches(self.retry_on, error, otherwise=True):
            return None
        return None if all(_matches(self.retry_on, leaf, otherwise=True) for leaf in found) else "retry_on"


def _matches(matchers: Sequence[Matcher], error: BaseException, *, otherwise: bool) -> bool:
    names = {name for link in links(error) for kind in type(link).__mro__ for name in _names(kind)}
    return any(
        matcher in names if isinstance(matcher, str) else _says(matcher, error, otherwise) for matcher in matchers
    )


def _says(predicate: Callable[[BaseException], object], error: BaseException, otherwise: bool) -> bool:
    try:
        return bool(predicate(error))
    except Exception:
        log.exception("retry_on or no_retry_on: %r raised, and is passed over", predicate)
        return otherwise


def _names(kind: type) -> Iterator[str]:
    yield kind.__name__
    yield _name(kind)


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ in _MAIN else f"{kind.__module__}.{kind.__qualname__}"


def _checked(checker: Checker, field: str, item: Any) -> Matcher | None:
    if isinstance(item, type):
        if issubclass(item, BaseException):
            return _name(item)
    elif isinstance(item, str):
        if len(item) <= 200 and all(part.isidentifier() or part == "<locals>" for part in item.split(".")):
            return item
    elif callable(item):
        predicate: Callable[[BaseException], object] = item
        return predicate
    checker.refuse(field, item, ALLOWED)
    return None
