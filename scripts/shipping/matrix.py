"""`./scripts/matrix`: a quick tier of the tests on each Python of this machine, on the oldest and the newest packages.

The oldest Python has the oldest PyMongo, and of each other package the oldest that pyproject.toml allows, extras
included. All others have the newest. `--all` tries each Python with both.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from shipping.environments import ROOT, Environment, Failed, say
from shipping.pythons import OLDEST, Python, found
from shipping.requirements import EXTRAS, of_tests, oldest

TIER: Final = (
    "tests/unit", "tests/functions", "tests/testing", "tests/contrib", "tests/dashboard/test_pages.py",
    "tests/acceptance/test_cli.py", "tests/storage/test_claiming.py",
)  # fmt: skip
QUIETLY: Final = "default::DeprecationWarning"
"""Old packages warn of what the newest Python or the newest of another package leaves behind."""


class Cell(NamedTuple):
    """One Python with the oldest or the newest packages."""

    python: Python
    packages: str
    """`oldest` or `newest`."""

    @property
    def name(self) -> str:
        """What it is called in the output, and its folder."""
        return f"{self.python.minor}-{self.packages}"

    @property
    def requirements(self) -> list[str]:
        """What is installed there beside mongoq and its extras."""
        # Starlette's test client was one of httpx before it was one of httpx2.
        return [*of_tests(), *(["httpx", *oldest()] if self.packages == "oldest" else [])]


def cells(pythons: list[Python], *, every: bool) -> list[Cell]:
    """What is tried: the oldest with the oldest, the others with the newest; with `every` all with both."""
    if every or len(pythons) == 1:
        return [Cell(python, packages) for python in pythons for packages in ("oldest", "newest")]
    return [Cell(pythons[0], "oldest"), *(Cell(python, "newest") for python in pythons[1:])]


def tried(cell: Cell, processes: int, tests: Sequence[str]) -> bool:
    """Install mongoq for one Python with its packages, and run these tests there; whether all passed."""
    started = time.monotonic()
    try:
        environment = Environment(ROOT / "build" / "matrix" / cell.name, cell.python.path)
        environment.install("-e", f"{ROOT}[{','.join(EXTRAS)}]", *cell.requirements)
        ready = time.monotonic() - started
        quietly = ("-W", QUIETLY) if cell.packages == "oldest" else ()
        pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", str(processes), *quietly, *tests)
        told = environment.run(*pytest, cwd=ROOT).rstrip().rpartition("\n")[2]
    except Failed as error:
        say(f"FAILED  {cell.name}: {error}")
        return False
    seconds = time.monotonic() - started
    say(f"ok      {cell.name} ({cell.python.path}), {seconds:.0f} s, {ready:.0f} s of them for its packages: {told}")
    return True


def main() -> int:
    """Try all cells, and return the exit code: 1 where one failed."""
    parser = argparse.ArgumentParser(prog="./scripts/matrix", description=__doc__)
    parser.add_argument("--all", action="store_true", help="each Python with the oldest and the newest packages")
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
