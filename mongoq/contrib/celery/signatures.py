"""The parts of a canvas, and the smallest of them, a signature: each becomes tasks with parents, enqueued together.

A node adds its tasks to a `Plan`, given what comes before it (`Ends`), and says what its own ends are. A task after one
end gets its result, a task after the ends of a group the list of theirs. What comes after a failed task is cancelled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from mongoq import ConfigurationError, Fault, NewTask, Task
from mongoq.contrib.celery.options import call_options
from mongoq.contrib.celery.rates import make_limits, with_own
from mongoq.contrib.celery.registered import current_queue, functions
from mongoq.contrib.celery.results import AsyncResult, GroupResult
from mongoq.contrib.celery.running import ALL, ERROR, ONE
from mongoq.core.validation import shortened

if TYPE_CHECKING:
    from mongoq.contrib.celery.canvas import chain

__all__ = ["Ends", "Node", "Signature", "checked_node", "refusal", "signature"]


class Ends(NamedTuple):
    """What the next node waits for."""

    parts: tuple[str | Ends, ...] = ()
    """Keys of tasks; the ends of a chain in a group that ends in a group itself."""
    many: bool = False
    """Whether it gets the list of their results."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all."""
        return tuple(key for part in self.parts for key in ((part,) if isinstance(part, str) else part.keys))

    @property
    def is_nested(self) -> bool:
        """Whether the list of their results has lists in it."""
        return not all(isinstance(part, str) for part in self.parts)

    def result(self) -> AsyncResult | GroupResult:
        """What their producer holds of them."""
        if not self.many:
            return AsyncResult(self.keys[0])
        return GroupResult([AsyncResult(part) if isinstance(part, str) else part.result() for part in self.parts])


class Node(ABC):
    """A part of a canvas."""

    def __init__(self) -> None:
        self.links: list[Node] = []
        self.error_links: list[Node] = []

    @abstractmethod
    def plan(self, plan: list[NewTask], before: Ends, options: Mapping[str, Any]) -> Ends:
        """Add its tasks; `options` are those of a call, for tasks with nothing before them."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Enqueue it: an AsyncResult of its last task, or the GroupResult of a group at its end."""
        tasks: list[NewTask] = []
        whole = self.clone(args, kwargs)
        ends = whole.planned(tasks, Ends(), options)
        queue = current_queue()
        make_limits(queue, tasks)
        if len(tasks) == 1:
            queue.new(tasks[0])
        elif tasks:
            queue.new_many(tasks)
        return ends.result()

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it with these arguments before its own."""
        return self.apply_async(args, kwargs)

    def clone(self, args: Any = None, kwargs: Any = None) -> Node:
        """Itself with further arguments; ConfigurationError where it takes none."""
        if args or kwargs:
            raise refusal(
                f"{type(self).__name__}.apply_async args", (args, kwargs), "arguments of its tasks: give them there"
            )
        return self

    def link(self, callback: Node) -> Self:
        """Run a task with the result when it has completed."""
        self.links.append(checked_node("link", callback))
        return self

    def link_error(self, errback: Node) -> Self:
        """Run a task when one of its tasks has failed."""
        self.error_links.append(checked_node("link_error", errback))
        return self

    def on_error(self, errback: Node) -> Self:
        """The same, to be used in a row."""
        return self.link_error(errback)

    def planned(self, plan: list[NewTask], before: Ends, options: Mapping[str, Any]) -> Ends:
        """Plan it with its links."""
        if before.is_nested:
            allowed = "behind a group of tasks, of groups, and of chains that end in a task: one here ends in a group"
            raise refusal(type(self).__name__, self, allowed)
        start = len(plan)
        given = dict(options)
        links = [*self.links, *nodes("link", given.pop("link", None))]
        error_links = [*self.error_links, *nodes("link_error", given.pop("link_error", None))]
        ends = self.plan(plan, before, given)
        own = [task.key for task in plan[start:] if task.key is not None]
        for callback in links:
            callback.planned(plan, ends, {})
        for errback in error_links:
            only_task("link_error", errback).add(plan, tuple(own), ERROR, {"on_parent_failure": "run"})
        return ends

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue it; the signature of one task is run instead."""
        return self.apply_async(args, kwargs)

    def __or__(self, other: Node) -> chain:
        from mongoq.contrib.celery.canvas import chain  # noqa: PLC0415 -- a chain is made of nodes

        return chain(self, other)


class Signature(Node):
    """A call of a task: `add.s(2, 3)`. In a chain it gets the result before it as its first argument."""

    def __init__(
        self,
        task: str,
        args: Any = None,
        kwargs: Any = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
    ) -> None:
        super().__init__()
        self.task = task
        self.args = tuple(args or ())
        self.kwargs = dict(kwargs or {})
        self.options = dict(options or {})
        self.immutable = immutable

    def set(self, immutable: bool | None = None, **options: Any) -> Signature:
        """Give it options of `apply_async`: `add.s(2).set(queue="fast", countdown=10)`."""
        self.options |= options
        self.immutable = self.immutable if immutable is None else immutable
        return self

    def clone(self, args: Any = None, kwargs: Any = None) -> Signature:
        """A copy with these arguments before its own, unless it is immutable."""
        own = Signature(self.task, self.args, self.kwargs, self.options, immutable=self.immutable)
        own.links, own.error_links = list(self.links), list(self.error_links)
        if not self.immutable:
            own.args, own.kwargs = (*(args or ()), *self.args), {**self.kwargs, **(kwargs or {})}
        return own

    def new_task(self) -> NewTask:
        """The call as a task of mongoq's: for `queue.schedule(name, cron, task)`, `batch.new` and `new_many`."""
        plan: list[NewTask] = []
        self.planned(plan, Ends(), {})
        if len(plan) > 1:
            raise refusal(f"{self.task}.new_task", self, "a call without links: they are tasks too")
        return replace(plan[0], key=None)

    def planned(self, plan: list[NewTask], before: Ends, options: Mapping[str, Any]) -> Ends:
        """Plan it with its links, those among its options too."""
        return super().planned(plan, before, {**self.options, **options})

    def plan(self, plan: list[NewTask], before: Ends, options: Mapping[str, Any]) -> Ends:
        """One task."""
        chained = "" if self.immutable or before == Ends() else ALL if before.many else ONE
        return self.add(plan, before.keys, chained, call_options(f"{self.task}.apply_async", options))

    def add(self, plan: list[NewTask], after: tuple[str, ...], chained: str, options: Mapping[str, Any]) -> Ends:
        """Add the task; it has a key, by which others name it."""
        tags: dict[str, Any] = {"args": list(self.args), "kwargs": self.kwargs}
        if chained and not (chained == ERROR and self.immutable):
            tags["chained"] = chained
        elif chained == ERROR:
            raise refusal(f"link_error {self.task}", "si()", "s(): the task has to be told whether one has failed")
        given: dict[str, Any] = {"key": Task.new_key(), **options}
        if after:
            given["after"] = after
        known = functions.by_name().get(self.task)
        if known is not None and "limits" in given:
            given["limits"] = with_own(given["limits"], known.owner.rate)
        new = known.options(**given).call(**tags) if known is not None else NewTask(tags, name=self.task, **given)
        plan.append(new)
        return Ends((given["key"],))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now."""
        known = functions.by_name().get(self.task)
        if known is None:
            raise refusal("signature", self.task, "a task of this process, to be called here")
        whole = self.clone(args, kwargs)
        return known.owner(*whole.args, **whole.kwargs)

    def __repr__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.task}({', '.join(given)})"


def signature(task: str, args: Any = None, kwargs: Any = None, *, immutable: bool = False, **options: Any) -> Signature:
    """A call of the task of this name, which this process need not know."""
    return Signature(task, args, kwargs, options, immutable=immutable)


def nodes(field: str, given: Any) -> list[Node]:
    """The links that an option gives: none, one or several."""
    if given is None:
        return []
    return [checked_node(field, one) for one in (given if isinstance(given, Iterable) else [given])]


def checked_node(field: str, given: Any) -> Node:
    """What is linked; ConfigurationError where it is no signature and no canvas."""
    if not isinstance(given, Node):
        raise refusal(field, given, "signatures, as task.s(...) makes them, chains, groups and chords")
    return given


def only_task(field: str, node: Node) -> Signature:
    """A link that has to be one task."""
    if not isinstance(node, Signature):
        raise refusal(field, node, "the signature of one task")
    return node


def refusal(field: str, value: Any, allowed: str) -> ConfigurationError:
    """The error that names a field, its value and what is allowed."""
    return ConfigurationError([Fault(field, shortened(value), allowed)])
