"""Assemble the source of the site: pages with their generated parts and with links that fit the site."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from docsite.generated import GENERATED
from mongoq.storage.documents.contract import schema

ROOT: Final = Path(__file__).parents[2]
MOVED: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
}
"""Pages of the repository's root, and their places on the site."""
SCHEMA: Final = "schema.json"
"""A file of the site that is made from the code."""
MARKER: Final = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
FENCE: Final = re.compile(r"^( *)(`{3,})[^\n]*\n.*?^\1\2 *$", re.MULTILINE | re.DOTALL)
CODE: Final = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL)
LINK: Final = re.compile(r"(\]\()([^)\s]+)(\))")
LANGUAGES: Final = {".py": "python", ".js": "javascript", ".json": "json", ".yaml": "yaml", ".toml": "toml"}


class BrokenLink(Exception):
    """A page links to a file that is not there."""


def pages() -> dict[str, str]:
    """Every page by its path in the repository, and its path on the site."""
    docs = (ROOT / "docs").rglob("*.md")
    inside = {page.relative_to(ROOT).as_posix(): page.relative_to(ROOT / "docs").as_posix() for page in sorted(docs)}
    return {**MOVED, **inside}


def assemble(target: Path) -> Path:
    """Write the source of the site under this folder, and return the file of its settings."""
    source = target / "src"
    shutil.rmtree(source, ignore_errors=True)
    places, files = pages(), set[str]()
    for name, place in places.items():
        text = MARKER.sub(lambda found: GENERATED[found[1]](), (ROOT / name).read_text())
        _write(source / place, "".join(_relocated(text, name, place, places, files)))
    for name in files:
        _write(source / _copy(name), _as_page(name))
    for file in (ROOT / "docs").rglob("*"):
        if file.is_file() and file.suffix not in {".md", ".toml"}:
            _write(source / file.relative_to(ROOT / "docs"), file.read_bytes())
    _write(source / SCHEMA, json.dumps(schema.json_schema(), indent=2) + "\n")
    settings = target / "zensical.toml"
    settings.write_text((ROOT / "docs" / "site.toml").read_text())
    return settings


def prose(text: str) -> Iterator[tuple[bool, str]]:
    """The pieces of a page, each with whether it is prose; the others are code."""
    for outer in (FENCE, CODE):
        if outer.search(text):
            end = 0
            for found in outer.finditer(text):
                yield from prose(text[end : found.start()])
                yield False, found[0]
                end = found.end()
            yield from prose(text[end:])
            return
    yield True, text


def links(text: str) -> list[str]:
    """The targets of all links of a page."""
    return [found[2] for is_prose, piece in prose(text) if is_prose for found in LINK.finditer(piece)]


def _relocated(text: str, name: str, place: str, places: dict[str, str], files: set[str]) -> Iterator[str]:
    for is_prose, piece in prose(text):
        yield LINK.sub(lambda found: _link(found, name, place, places, files), piece) if is_prose else piece


def _link(found: re.Match[str], name: str, place: str, places: dict[str, str], files: set[str]) -> str:
    path, mark, anchor = found[2].partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return found[0]
    wanted = os.path.normpath((Path(name).parent / path).as_posix())
    if wanted not in places:
        if not (ROOT / wanted).is_file() and wanted != f"docs/{SCHEMA}":
            raise BrokenLink(f"{name}: {found[2]}")
        if not wanted.startswith("docs/"):
            files.add(wanted)
    goal = places.get(wanted) or (wanted.removeprefix("docs/") if wanted.startswith("docs/") else _copy(wanted))
    return found[1] + os.path.relpath(goal, Path(place).parent) + mark + anchor + found[3]


def _copy(name: str) -> str:
    return f"source/{name}.md"


def _as_page(name: str) -> str:
    return f"# {name}\n\n````{LANGUAGES.get(Path(name).suffix, 'text')}\n{(ROOT / name).read_text()}\n````\n"


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
