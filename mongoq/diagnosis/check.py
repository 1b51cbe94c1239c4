"""How a check is declared: a pure function of facts, with its level, its effect and its advice beside it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, get_type_hints

from mongoq.diagnosis.finding import Finding, Level

T = TypeVar("T")
MOST: Final = 10
"""So many findings of one check are told; the last of them says how many more there are."""


class Found(NamedTuple):
    """What a check says of one thing; what it leaves out is as its declaration has it."""

    about: str
    problem: str
    command: str = ""
    advice: str = ""
    level: Level | None = None


OTHER: Final = Found("", "")
"""One of those that are only counted."""


def first(found: Iterable[T], tell: Callable[[T], Found]) -> Iterator[Found]:
    """Tell of the first few things; the others are counted: the words for 10,000 queues took 40 ms of CPU."""
    return (tell(one) if number < MOST else OTHER for number, one in enumerate(found))


@dataclass(frozen=True, slots=True)
class Check:
    """A check: the facts that it needs are the types of its function's arguments."""

    name: str
    level: Level
    looks_for: str
    effect: str
    advice: str
    command: str
    needs: tuple[type[Any], ...]
    run: Callable[..., Iterable[Found]]

    def finding(self, found: Found) -> Finding:
        """The finding that a user sees."""
        level, advice, command = found.level or self.level, found.advice or self.advice, found.command or self.command
        return Finding(self.name, level, found.about, found.problem, self.effect, advice, command)


def check(
    name: str, level: Level, looks_for: str, *, effect: str, advice: str, command: str = ""
) -> Callable[[Callable[..., Iterable[Found]]], Check]:
    """Declare a check: `@check("queue.unserved", Level.FAULT, "ready tasks of a queue without a worker", ...)`."""

    def declare(function: Callable[..., Iterable[Found]]) -> Check:
        kinds = get_type_hints(function)
        needs = tuple(kinds[argument] for argument in inspect.signature(function).parameters)
        return Check(name, level, looks_for, effect, advice, command, needs, function)

    return declare
