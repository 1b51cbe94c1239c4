"""Docstrings as Markdown."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

LONGEST_CALL: Final = 100
"""Characters of a call on one line."""
SECTION: Final = re.compile(r"^(Args|Raises|Returns|Yields):$")


class Doc(NamedTuple):
    """The parts of a docstring."""

    text: str
    """All that stands before and after its sections, as Markdown."""
    args: dict[str, str]
    raises: dict[str, str]


def doc_of(thing: object) -> Doc:
    """Take the docstring of a thing apart."""
    parts: dict[str, list[str]] = {"": [], "Args": [], "Raises": [], "Returns": [], "Yields": []}
    section = ""
    for line in (inspect.getdoc(thing) or "").splitlines():
        if found := SECTION.match(line):
            section = found[1]
        elif section and line and not line.startswith(" "):
            section = ""
            parts[section].append(line)
        else:
            parts[section].append(line)
    return Doc(markdown("\n".join(parts[""])), dict(_entries(parts["Args"])), dict(_entries(parts["Raises"])))


def fields_of(kind: type) -> dict[str, str]:
    """What is said of each field of a class: the text below it, also of the classes above."""
    said: dict[str, str] = {}
    for above in reversed(kind.__mro__):
        if above.__module__.partition(".")[0] == "mongoq":
            tree = ast.parse(textwrap.dedent(inspect.getsource(above)))
            body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
            said |= {name: text for one, below in pairwise(body) for name, text in _said_of(one, below)}
    return said


def _said_of(one: ast.stmt, below: ast.stmt) -> Iterator[tuple[str, str]]:
    target = one.target if isinstance(one, ast.AnnAssign) else one.targets[0] if isinstance(one, ast.Assign) else None
    if isinstance(target, ast.Name) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
        yield target.id, str(below.value.value)


def _entries(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The entries of a section; each begins at four spaces and goes on at eight."""
    name, said = "", list[str]()
    for line in lines:
        found = re.match(r"^    (\w[\w*, ]*): (.*)$", line)
        if found:
            if name:
                yield name, " ".join(said)
            name, said = found[1], [found[2]]
        elif line.strip():
            said.append(line.strip())
    if name:
        yield name, " ".join(said)


def markdown(text: str) -> str:
    """Text of a docstring: indented lines become blocks of code."""
    blocks: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        if block and all(line.startswith("    ") for line in block.splitlines()):
            blocks.append(f"```python\n{textwrap.dedent(block)}\n```")
        elif block:
            blocks.append(block)
    return "\n\n".join(blocks)


def cell(text: str) -> str:
    """Text that stands in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(*rows: tuple[str, ...]) -> str:
    """A table; the first row is its head."""
    lines = ["| " + " | ".join(cell(one) for one in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def signature_of(name: str, thing: Any) -> str:
    """How a thing is called, as code; annotations are left out, defaults are kept."""
    parts: list[str] = []
    for parameter in inspect.signature(thing).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not any(part == "*" for part in parts):
            parts.append("*")
        text = f"*{parameter.name}" if parameter.kind is parameter.VAR_POSITIONAL else parameter.name
        if parameter.default is not parameter.empty:
            text += f"={_value(parameter.default)}"
        parts.append(text)
    call = f"{name}({', '.join(parts)})"
    return call if len(call) <= LONGEST_CALL else name + "(\n    " + ",\n    ".join(parts) + ",\n)"


def _value(default: Any) -> str:
    return "UNSET" if type(default).__name__ == "Unset" else repr(default)
