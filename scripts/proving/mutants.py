"""Seed one fault at a time into a copy of the package, and see which layer of the tests notices.

    scripts/mutants                 all of them
    scripts/mutants --quick         those that a unit test should see
    scripts/mutants --only NAME     one
    scripts/mutants --check         only whether each can still be seeded

A fault that no test notices is a test that is missing: the exit code is 1 then. It is 2 where a fault cannot be
seeded any more, or where the tests fail without one.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from mongoq.embedded.server import open_embedded
from proving.seeded import MUTANTS, Mutant

ROOT: Final = Path(__file__).parents[2]
LEFT: Final = shutil.ignore_patterns(".venv", ".git", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info")
LAYERS: Final = (
    "unit", "storage", "conformance", "hostile", "work", "acceptance", "proving", "proofs", "faults",
)  # fmt: skip
OPTIONS: Final = ("-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-o", "timeout=90")
FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
PASSED: Final = 0
SOME_FAILED: Final = 1
LONGEST: Final = 1200


class CannotSeedError(Exception):
    """A fault's piece of source has gone, or the tests could not be run with it."""


class Caught(NamedTuple):
    """Which layer noticed a fault, by which test."""

    layer: str
    test: str


class Copy:
    """A copy of the project in which faults are seeded, and the server its tests share."""

    def __init__(self, folder: Path, server: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, "PYTHONPATH": str(folder), "MONGOQ_TEST_SERVER": str(server)}
        shutil.copytree(ROOT, folder, ignore=LEFT)

    def seed(self, mutant: Mutant) -> None:
        """Make the fault's edits; CannotSeedError where one does not fit exactly once."""
        for file, old, new in mutant.edits:
            text = (self._folder / file).read_text()
            if text.count(old) != 1:
                raise CannotSeedError(f"{mutant.name}: {file} holds {text.count(old)} times, not once: {old!r}")
            (self._folder / file).write_text(text.replace(old, new))

    def mend(self) -> None:
        """Take every fault back."""
        shutil.rmtree(self._folder / "mongoq")
        shutil.copytree(ROOT / "mongoq", self._folder / "mongoq", ignore=LEFT)

    def failing(self, tests: Iterable[str]) -> str | None:
        """The first of these tests that fails, or None where all pass."""
        command = [sys.executable, "-B", "-m", "pytest", *OPTIONS, *tests]
        pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(
            command, cwd=self._folder, env=self._environment, start_new_session=True, **pipe
        ) as process:
            try:
                said, _ = process.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                return "(the tests never ended)"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and the workers that its tests left
        if process.returncode == PASSED:
            return None
        found = FAILED.search(said)
        if process.returncode != SOME_FAILED or found is None:
            raise CannotSeedError(f"pytest {' '.join(tests)} ended with {process.returncode}:\n{said[-2000:]}")
        return found[1]


def caught(copy: Copy, mutant: Mutant) -> Caught | None:
    """Which layer notices this fault: what should see it first, then all layers in order."""
    copy.mend()
    copy.seed(mutant)
    layers = [layer for layer in LAYERS if (ROOT / "tests" / layer).is_dir()]
    for tests in (mutant.first, *((f"tests/{layer}",) for layer in layers)):
        test = copy.failing(tests)
        if test is None:
            continue
        if tests is not mutant.first:
            copy.mend()
            if copy.failing([test]):
                raise CannotSeedError(f"without any fault the tests fail: {test}")
        return Caught(test.split("/")[1], test.rpartition("/")[2])
    return None


def harm(rule: str) -> str:
    """What the model says that breaking this rule leads to."""
    from tests.model.protocol import explore  # noqa: PLC0415 -- only where the tests are

    _, fault, way = explore(rule)
    return f"{fault} after {len(way)} steps" if fault else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Seed each of the chosen faults in turn, and print who notices."""
    sys.path.insert(0, str(ROOT))
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="only those that a unit test should see")
    parser.add_argument("--only", metavar="NAME", help="only this one")
    parser.add_argument("--check", action="store_true", help="only whether each can still be seeded")
    given = parser.parse_args(arguments)
    chosen = [
        mutant
        for mutant in MUTANTS
        if given.only in (None, mutant.name)
        and (not given.quick or all(test.startswith("tests/unit/") for test in mutant.first))
    ]
    if not chosen:
        parser.error(f"no fault is called {given.only!r}; one of: {', '.join(mutant.name for mutant in MUTANTS)}")
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="mongoq-mutants-", ignore_cleanup_errors=True))
        )
        copy = Copy(folder / "project", folder / "mongodb")
        try:
            for mutant in chosen:
                copy.seed(mutant)
                copy.mend()
            if given.check:
                print(f"{len(chosen)} faults can be seeded")
                return 0
            stack.enter_context(open_embedded(folder / "mongodb"))
            return _run(copy, chosen)
        except CannotSeedError as error:
            print(f"mutants: {error}", file=sys.stderr)
            return 2


def _run(copy: Copy, chosen: Sequence[Mutant]) -> int:
    sound = copy.failing(dict.fromkeys(test for mutant in chosen for test in mutant.first))
    if sound is not None:
        raise CannotSeedError(f"without any fault the tests fail: {sound}")
    survivors = []
    start = time.monotonic()
    for mutant in chosen:
        begun = time.monotonic()
        found = caught(copy, mutant)
        if found is None:
            survivors.append(mutant.name)
        seconds = time.monotonic() - begun
        who = f"{found.layer}: {found.test}" if found else "SURVIVED"
        print(f"{mutant.name:56} {seconds:5.1f} s  {who}", flush=True)
        if mutant.rule:
            print(f"{'':56}          model: {harm(mutant.rule)}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} faults were caught in {time.monotonic() - start:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
