"""The source distribution can run its own tests: it includes whatever they import and read."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
READ = re.compile(r'(?:ROOT|parents\[2\])\)? / "([\w.-]+)')


def test_the_source_distribution_includes_what_the_tests_need() -> None:
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    included = {entry.strip("/") for entry in targets["sdist"]["include"]}
    needed = {
        top for file in (ROOT / "tests").rglob("*.py") for top in (*_imported(file), *READ.findall(file.read_text()))
    }

    assert {"mongoq", "scripts", "examples", "compose.yaml", "README.md"} <= needed, "it is seen what they need"
    assert sorted(needed - included - {"pyproject.toml"}) == []  # that one always goes in


def _imported(file: Path) -> Iterator[str]:
    """The entries of the root that hold what a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for package in {name.partition(".")[0] for name in names}:
            for folder in (ROOT, ROOT / "scripts"):
                if (folder / package / "__init__.py").exists():
                    yield (folder / package).relative_to(ROOT).parts[0]
