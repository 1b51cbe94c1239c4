"""Chains, groups and chords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from mongoq import NewTask
from mongoq.contrib.celery.signatures import Ends, Node, checked_node, refusal

__all__ = ["chain", "chord", "group"]

OF_CHAIN: Final = ("countdown", "eta", "link", "link_error")
"""The options of a chain as a whole: times are those of its first task."""
FIRST: Final = ", ".join(OF_CHAIN)


class chain(Node):  # noqa: N801 -- Celery's own name
    """Tasks one after the other, each with the result before it: `chain(fetch.s(url), store.s())`, or by `|`."""

    def __init__(self, *tasks: Any) -> None:
        super().__init__()
        given = tasks[0] if len(tasks) == 1 and not isinstance(tasks[0], Node) else tasks
        self.tasks: list[Node] = []
        for one in given:
            node = checked_node("chain", one)
            whole = isinstance(node, chain) and not node.links and not node.error_links
            self.tasks += node.tasks if isinstance(node, chain) and whole else [node]
        if not self.tasks:
            raise refusal("chain", "nothing", "a task at least")

    def clone(self, args: Any = None, kwargs: Any = None) -> chain:
        """A copy whose first task has these arguments before its own."""
        own = chain(self.tasks[0].clone(args, kwargs), *self.tasks[1:])
        own.links, own.error_links = list(self.links), list(self.error_links)
        return own

    def plan(self, plan: list[NewTask], before: Ends, options: Mapping[str, Any]) -> Ends:
        """Its tasks, each after the one before."""
        given = of_chain(options)
        for node in self.tasks:
            before, given = node.planned(plan, before, given), {}
        return before

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.tasks))


class group(Node):  # noqa: N801 -- Celery's own name
    """Tasks side by side: `group(add.s(n, n) for n in range(9))`; what follows gets the list of their results.

    The tasks of a group in a group are members as its own, as in Celery.
    """

    def __init__(self, *tasks: Any) -> None:
        super().__init__()
        given = tasks[0] if len(tasks) == 1 and not isinstance(tasks[0], Node) else tasks
        self.tasks: list[Any] = [checked_node("group", one) for one in given]

    def plan(self, plan: list[NewTask], before: Ends, options: Mapping[str, Any]) -> Ends:
        """Its tasks, each after what is before the group and with the options of its call."""
        parts: list[str | Ends] = []
        for node in self.tasks:
            ends = node.planned(plan, before, options)
            parts += ends.parts if isinstance(node, group) or not ends.many else [ends]
        return Ends(tuple(parts), many=True)

    def clone(self, args: Any = None, kwargs: Any = None) -> group:
        """A copy whose tasks have these arguments before their own."""
        own = group([one.clone(args, kwargs) for one in self.tasks])
        own.links, own.error_links = list(self.links), list(self.error_links)
        return own

    def link(self, callback: Node) -> Self:
        """Refused: Celery links the tasks, one by one."""
        raise refusal("group.link", callback, "chord(group, callback), which gets the list of the results")

    def __len__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        return f"group({self.tasks!r})"


def chord(header: Any, body: Any = None) -> Any:
    """A group, and a task that gets the list of its results: `chord(header, body)` or `chord(header)(body)`.

    Called with its body it is enqueued at once, as in Celery.
    """
    members = header if isinstance(header, group) else group(header)
    if body is None:
        return lambda callback: chain(members, callback).apply_async()
    return chain(members, body)


def of_chain(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options for the first task of a chain; ConfigurationError where one is for more than that."""
    for name, value in options.items():
        if name not in OF_CHAIN:
            raise refusal(f"chain.apply_async {name}", value, f"one of {FIRST}; set others on its tasks")
    return dict(options)
