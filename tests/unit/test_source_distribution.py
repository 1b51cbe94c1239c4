"""The source distribution can run its own tests: it includes whatever they import and read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORTED = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)
READ = re.compile(r'(?:ROOT|parents\[2\])\)? / "([\w.-]+)')


def test_the_source_distribution_includes_what_the_tests_need() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    included = {entry.strip("/") for entry in targets["sdist"]["include"]}
    texts = [file.read_text() for file in (ROOT / "tests").rglob("*.py")]
    needed = {top for text in texts for top in (*_imported(text), *READ.findall(text))}

    assert {"mongoq", "scripts", "examples", "compose.yaml", "README.md"} <= needed, "it is seen what they need"
    always, made_there = "pyproject.toml", "build"
    assert sorted(needed - included - {always, made_there}) == []


def _imported(text: str) -> Iterator[str]:
    """The entries of the root that hold what a module imports."""
    for package in set(IMPORTED.findall(text)):
        for folder in (ROOT, ROOT / "scripts"):
            if (folder / package / "__init__.py").exists():
                yield (folder / package).relative_to(ROOT).parts[0]
