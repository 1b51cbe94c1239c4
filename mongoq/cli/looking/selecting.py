"""The options that select tasks: declared here once, and given to each command that has them as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import typer

from mongoq import TaskState
from mongoq.cli.options import moment_option, resolved, tags

CHOSEN: Final = "chosen"
"""The parameter of a command that stands for all of these options."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tasks a command is for; an option that was not given is None."""

    queue: Annotated[str | None, typer.Option("--queue", help="Only tasks of this queue.")] = None
    name: Annotated[str | None, typer.Option("--name", help="Only tasks of this function: NAME, or NAME@REVISION.")] = (
        None
    )
    state: Annotated[TaskState | None, typer.Option("--state", help="Only tasks in this state.")] = None
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="KEY=VALUE", help="Only tasks with this tag; repeatable."),
    ] = None
    error: Annotated[
        str | None,
        typer.Option("--error", metavar="TYPE", help="Only tasks whose last attempt failed with this type of error."),
    ] = None
    since: Annotated[
        Any,
        moment_option("Only those since then: 15m (ago), 2h, 1d, or 2026-08-01T12:30. Finished ones by their end."),
    ] = None
    until: Annotated[Any, moment_option("Only those before then.")] = None

    def options(self, now: Callable[[], datetime]) -> dict[str, Any]:
        """The selection as arguments of the API; what is not given is left out. `now` is asked where it matters."""
        found: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        found["where"] = tags(self.where or []) or None
        for name in ("since", "until"):
            found[name] = resolved(found[name], now()) if isinstance(found[name], timedelta) else found[name]
        return {name: value for name, value in found.items() if value is not None}


ALL: Final = tuple(item.name for item in fields(Selection))


def selecting(*names: str, state: TaskState | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options (default: all) in the place of its parameter `chosen`, a `Selection`.

    `state` is the default of --state.
    """
    declared = inspect.signature(Selection, eval_str=True).parameters
    options = [declared[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in names or ALL]
    options = [one.replace(default=state) if one.name == "state" else one for one in options]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(**given: Any) -> None:
            chosen = Selection(**{one.name: given.pop(one.name) for one in options})
            command(**given, **{CHOSEN: chosen})

        own = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in own.parameters.values():
            parameters += options if parameter.name == CHOSEN else [parameter]
        # typer reads the options of a command from these two
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate
