"""The verbs of a queue by family, and the other names of `mongoq`, from their signatures and docstrings."""

from __future__ import annotations

import enum
import inspect
import re
from dataclasses import fields, is_dataclass
from typing import Any, Final

import mongoq
from docsite.text import Doc, doc_of, fields_of, signature_of, table
from mongoq import Queue
from mongoq.verbs import Verbs

LAST: Final = "Hooks and the object itself"


def verbs() -> str:
    """The verbs of `Queue`, by the families under which its class and `Verbs` list them."""
    parts: list[str] = []
    for family, names in _families().items():
        parts.append(f"## {family}")
        parts += [_function(f"queue.{name}", getattr(Queue, name), f"### {name}") for name in names]
    return "\n\n".join(parts)


def _families() -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for kind in (Queue, Verbs):
        family = ""
        for line in inspect.getsource(kind).splitlines():
            if found := re.match(r"    # ([A-Z].*)$", line):
                family = found[1]
            elif family and (found := re.match(r"    (?:def )?([a-z]\w*)(?: = |\()", line)):
                families.setdefault(family, []).append(found[1])
    return families | {LAST: families.pop(LAST)}


def _function(name: str, thing: Any, heading: str) -> str:
    said = doc_of(thing)
    call = f"```python\n{signature_of(name, thing)}\n```\n\n" if callable(thing) else ""
    return f"{heading}\n\n{call}{_described(said)}"


def _described(said: Doc) -> str:
    parts = [said.text]
    if said.args:
        parts.append("\n".join(f"- `{name}`: {text}" for name, text in said.args.items()))
    if said.raises:
        parts.append("Raises:\n\n" + "\n".join(f"- `{name}`: {text}" for name, text in said.raises.items()))
    return "\n\n".join(parts)


def others() -> str:
    """The other public names; errors and signals have pages of their own."""
    skipped = (mongoq.MongoqError, mongoq.Signal, mongoq.Interrupted, Queue)
    parts: list[str] = []
    for name in mongoq.__all__:
        thing = getattr(mongoq, name)
        if inspect.isclass(thing) and issubclass(thing, skipped):
            continue
        if inspect.isclass(thing):
            parts.append(_class(name, thing))
        elif callable(thing):
            parts.append(_function(f"mongoq.{name}", thing, f"## {name}"))
    return "\n\n".join(parts)


def public_fields(kind: type) -> list[str]:
    """The names of the fields of a value: of a dataclass or a named tuple."""
    names = [one.name for one in fields(kind)] if is_dataclass(kind) else getattr(kind, "_fields", ())
    return [name for name in names if not name.startswith("_")]


def _class(name: str, kind: type) -> str:
    parts = [f"## {name}", _described(doc_of(kind))]
    if kind is mongoq.AsyncQueue:
        return "\n\n".join(parts)
    said = fields_of(kind)
    names = public_fields(kind)
    if issubclass(kind, enum.Enum) and not said:
        parts.append(", ".join(f"`{one.value}`" for one in kind))
    elif issubclass(kind, enum.Enum):
        parts.append(table(("value", "meaning"), *((f"`{one.value}`", said.get(one.name, "")) for one in kind)))
    elif kind is mongoq.NewTask:
        parts.append("[The options of one task](options.md#of-one-task).")
    elif names:
        parts.append(table(("field", "meaning"), *((f"`{one}`", said[one]) for one in names)))
    for member, thing in vars(kind).items():
        if member.startswith("_") or not (inspect.isroutine(thing) or isinstance(thing, property)):
            continue
        bound = getattr(kind, member) if not isinstance(thing, property) else thing
        first = doc_of(bound).text.partition("\n\n")[0].replace("\n", " ")
        call = " ".join(signature_of(member, bound).split()) if callable(bound) else member
        parts.append(f"- `{call}`: {first}")
    return "\n\n".join(parts)
