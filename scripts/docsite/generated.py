"""The parts of pages that are made from the code, by the names under which pages ask for them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, Final

import typer

import mongoq
from docsite import interface
from docsite.text import doc_of, table
from mongoq import Queue, events
from mongoq.cli.app import app
from mongoq.core import errors
from mongoq.core.lifecycle import diagram
from mongoq.storage.documents.contract import schema


def options() -> str:
    """The options of `Queue`."""
    return _arguments(Queue.__init__, doc_of(Queue).args, without=("target",))


def options_of_new() -> str:
    """The options of one task."""
    return _arguments(Queue.new, doc_of(Queue.new).args | _of_the_policy(), without=("tags",))


def options_of_run() -> str:
    """The options of a worker."""
    return _arguments(Queue.run, doc_of(Queue.run).args, without=("handler",))


def _of_the_policy() -> dict[str, str]:
    names = ("max_retries", "backoff", "deadline", "lease", "keep_completed", "keep_failed", "retry_on", "no_retry_on")
    return dict.fromkeys((*names, "failure_message"), "as for the queue, for this task. Default: the queue's.")


def _arguments(function: Callable[..., Any], said: dict[str, str], without: tuple[str, ...]) -> str:
    """A table of a function's parameters: names that a docstring explains together stand in one row."""
    rows = [("option", "meaning")]
    told = {name: (names, text) for names, text in said.items() for name in names.split(", ")}
    shown: set[str] = set()
    for name in inspect.signature(function).parameters:
        if name in ("self", *without) or name in shown:
            continue
        names, text = told.get(name, (name, ""))
        if not text:
            raise LookupError(f"{function.__qualname__}: the docstring does not explain {name}")
        shown.update(names.split(", "))
        rows.append((", ".join(f"`{one}`" for one in names.split(", ")), text))
    return table(*rows)


def errors_() -> str:
    """Every error: its place in the tree, what it means and what it has."""
    tree = (inspect.getdoc(errors) or "").partition("\n\n")[2].partition("\n\n")[0]
    kinds = _public(mongoq.MongoqError)
    return f"```text\n{inspect.cleandoc(tree)}\n```\n\n" + "\n\n".join(map(_explained, kinds))


def signals() -> str:
    """Every signal of a handler."""
    return "\n\n".join(map(_explained, _public(mongoq.Signal, mongoq.Interrupted)))


def _public(*bases: type) -> list[type]:
    """The public classes under these."""
    things = [getattr(mongoq, name) for name in mongoq.__all__]
    return [thing for thing in things if inspect.isclass(thing) and issubclass(thing, bases)]


def _explained(kind: type) -> str:
    return f"### {kind.__name__}\n\n{doc_of(kind).text}"


def events_() -> str:
    """Every event with its fields; those of the events above it count too."""
    rows = [("event", "when", "what it tells")]
    for name in events.__all__:
        kind = getattr(events, name)
        told = ", ".join(f"`{one.name}`" for one in fields(kind)) if is_dataclass(kind) else ""
        above = kind.__mro__[1].__name__
        under = f" (an `{above}`)" if above not in ("object", "QueueEvent") else ""
        rows.append((f"`{name}`", doc_of(kind).text + under, told))
    return table(*rows)


def cli() -> str:
    """Every command: a table of all, and the help of each."""
    commands: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 -- of whichever click
    rows = [("command", "does")]
    rows += [(f"[`mongoq {name}`](#mongoq-{name})", one.help.partition("\n\n")[0]) for name, one in commands.items()]
    return table(*rows) + "\n\n" + "\n\n".join(_command(name, one) for name, one in commands.items())


def _command(name: str, command: Any) -> str:
    context = command.make_context(f"mongoq {name}", [], resilient_parsing=True)
    return f"### mongoq {name}\n\n```text\n{context.get_help()}\n```"


def document() -> str:
    """The fields of a task's document: those of a producer, and those that mongoq writes."""
    parts = []
    for title, of in (("Those that a producer writes", schema.PRODUCED), ("Those that mongoq writes", schema.WRITTEN)):
        rows = [("field", "type", "meaning")]
        for name, field in of.items():
            needed = " (needed)" if name in schema.REQUIRED else ""
            rows.append((f"`{name}`{needed}", " or ".join(field.types) or "any", field.meaning))
        parts.append(f"### {title}\n\n{table(*rows)}")
    return "\n\n".join(parts)


GENERATED: Final[dict[str, Callable[[], str]]] = {
    "options": options,
    "options-of-new": options_of_new,
    "options-of-run": options_of_run,
    "errors": errors_,
    "signals": signals,
    "events": events_,
    "cli": cli,
    "document": document,
    "queue": interface.verbs,
    "other": interface.others,
    "lifecycle": lambda: f"```mermaid\n{diagram()}\n```",
}
