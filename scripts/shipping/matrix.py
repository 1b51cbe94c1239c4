"""`./scripts/matrix`: a quick tier of the tests on each Python of this machine, on the oldest and the newest PyMongo.

The oldest Python has the oldest PyMongo, all others the newest; `--all` tries each with both.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from shipping.environments import ROOT, TOOLS, Environment, Failed, project, say
from shipping.pythons import OLDEST, Python, found

TIER: Final = ("tests/unit", "tests/functions", "tests/testing", "tests/storage/test_claiming.py")
SPARED: Final = "not motor"
EXTRAS: Final = "embedded,testing,motor,encryption,dashboard"


class Cell(NamedTuple):
    """One Python with one PyMongo."""

    python: Python
    pymongo: str
    """A requirement."""

    @property
    def name(self) -> str:
        """What it is called in the output, and its folder."""
        return f"{self.python.minor}-{self.pymongo.replace('==', '-')}"


def oldest_pymongo() -> str:
    """The requirement for the oldest PyMongo that pyproject.toml allows."""
    allowed = next(wanted for wanted in project()["dependencies"] if wanted.startswith("pymongo>="))
    return f"{str(allowed).replace('>=', '==')}.0"


def cells(pythons: list[Python], *, every: bool) -> list[Cell]:
    """What is tried: the oldest with the oldest, the others with the newest; with `every` all with both."""
    oldest, newest = oldest_pymongo(), "pymongo"
    if every or len(pythons) == 1:
        return [Cell(python, pymongo) for python in pythons for pymongo in (oldest, newest)]
    return [Cell(pythons[0], oldest), *(Cell(python, newest) for python in pythons[1:])]


def tried(cell: Cell, processes: int, tests: Sequence[str]) -> bool:
    """Install mongoq for one Python with one PyMongo, and run these tests there."""
    started = time.monotonic()
    try:
        environment = Environment(ROOT / "build" / "matrix" / cell.name, cell.python.path)
        environment.install("-e", f"{ROOT}[{EXTRAS}]", cell.pymongo, *TOOLS)
        pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(processes), "-k", SPARED, *tests)
        told = environment.run(*pytest, cwd=ROOT).rstrip().rpartition("\n")[2]
    except Failed as error:
        say(f"FAILED  {cell.name}: {error}")
        return False
    say(f"ok      {cell.name} ({cell.python.path}), {time.monotonic() - started:.0f} s: {told}")
    return True


def main() -> int:
    """Try all cells, and return the exit code: 1 where one failed."""
    parser = argparse.ArgumentParser(prog="./scripts/matrix", description=__doc__)
    parser.add_argument("--all", action="store_true", help="each Python with both versions of PyMongo")
    parser.add_argument("--list", action="store_true", help="say what would be tried, and end")
    parser.add_argument("--processes", type=int, default=2, help="processes that run tests (default: 2)")
    parser.add_argument("tests", nargs="*", default=TIER, help="files or folders of tests (default: a quick tier)")
    given = parser.parse_args()
    pythons = found()
    if not pythons:
        say(f"no Python {OLDEST[0]}.{OLDEST[1]} or later runs here")
        return 1
    wanted = cells(pythons, every=given.all)
    if given.list:
        for cell in wanted:
            say(f"{cell.name}  {cell.python.path}")
        return 0
    passed = [tried(cell, given.processes, given.tests) for cell in wanted]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
