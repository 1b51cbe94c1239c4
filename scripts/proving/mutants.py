"""Seed one fault at a time into the processes under test, and see which layer of the tests notices.

    scripts/mutants                 all of them
    scripts/mutants --quick         those that a unit test should see
    scripts/mutants --only NAME     one
    scripts/mutants --check         only whether each can still be seeded

A fault that no test notices is a test that is missing: the exit code is 1 then. It is 2 where a fault cannot be
seeded any more, or where the tests fail without one. The tests run in this tree, whose files stay as they are.
"""

from __future__ import annotations

import argparse
import os
import re
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
from proving.seeded import MUTANTS
from proving.seeded.fault import MISFITS, CannotSeedError, Fault

ROOT: Final = Path(__file__).parents[2]
SCRIPTS: Final = ROOT / "scripts"
START: Final = SCRIPTS / "proving" / "seeded" / "start"
"""The folder whose `sitecustomize` installs a fault."""
LAYERS: Final = (
    "unit", "storage", "conformance", "hostile", "work", "acceptance", "proving", "proofs", "faults",
)  # fmt: skip
OPTIONS: Final = (
    "-q", "-x", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-o", "timeout=90",
    "--ignore=tests/acceptance/test_mutants.py",  # it would run this program within itself
)  # fmt: skip
FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)  # an id may hold spaces
PASSED: Final = 0
SOME_FAILED: Final = 1
LONGEST: Final = 1200
NEVER_ENDED: Final = "(the tests never ended)"


class Caught(NamedTuple):
    """Which layer noticed a fault, by which test."""

    layer: str
    test: str


class Trials:
    """Runs tests with a fault and without; all share one server, and leave their files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._misfits = folder / "misfits"
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (START, ROOT, SCRIPTS))),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis"),
            "MONGOQ_TEST_SERVER": str(folder / "mongodb"),
            MISFITS: str(self._misfits),
        }
        self._environment.pop("MONGOQ_FAULT", None)

    def failing(self, tests: Iterable[str], fault: Fault | None = None) -> str | None:
        """The first of these tests that fails, or None where all pass."""
        command = [sys.executable, "-m", "pytest", *OPTIONS, *tests]
        environment = self._environment if fault is None else {**self._environment, "MONGOQ_FAULT": fault.name}
        pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **pipe) as process:
            try:
                said, _ = process.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                return NEVER_ENDED
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and the workers that its tests left
        if fault is not None and self._misfits.exists():
            raise CannotSeedError(f"{fault.name}: its replacement does not fit any more:\n{self._misfits.read_text()}")
        if process.returncode == PASSED:
            return None
        found = FAILED.search(said)
        if process.returncode != SOME_FAILED or found is None:
            raise CannotSeedError(f"pytest {' '.join(tests)} ended with {process.returncode}:\n{said[-2000:]}")
        return found[1]


def caught(trials: Trials, fault: Fault) -> Caught | None:
    """Which layer notices this fault: what should see it first, then all layers in order."""
    layers = [layer for layer in LAYERS if (ROOT / "tests" / layer).is_dir()]
    for tests in (fault.first, *((f"tests/{layer}",) for layer in layers)):
        test = trials.failing(tests, fault)
        if test is None:
            continue
        if tests is not fault.first and test != NEVER_ENDED and trials.failing([test]):
            raise CannotSeedError(f"without any fault the tests fail: {test}")
        file, _, name = test.partition("::")
        return Caught(tests[0].split("/")[1], f"{Path(file).name}::{name}")
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
        fault
        for fault in MUTANTS.values()
        if given.only in (None, fault.name)
        and (not given.quick or all(test.startswith("tests/unit/") for test in fault.first))
    ]
    if not chosen:
        parser.error(f"no fault is called {given.only!r}; one of: {', '.join(MUTANTS)}")
    try:
        for fault in chosen:
            fault.check()
            _check_tests(fault)
        if given.check:
            print(f"{len(chosen)} faults can be seeded")
            return 0
        return _run(chosen)
    except CannotSeedError as error:
        print(f"mutants: {error}", file=sys.stderr)
        return 2


def _check_tests(fault: Fault) -> None:
    missing = [test for test in fault.first if not (ROOT / test.partition("::")[0]).exists()]
    if missing or not fault.first:
        raise CannotSeedError(f"{fault.name}: the tests to run first are missing: {', '.join(missing)}")


def _run(chosen: Sequence[Fault]) -> int:
    with ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="mongoq-mutants-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(made))
        trials = Trials(folder)
        stack.enter_context(open_embedded(folder / "mongodb"))
        sound = trials.failing(dict.fromkeys(test for fault in chosen for test in fault.first))
        if sound is not None:
            raise CannotSeedError(f"without any fault the tests fail: {sound}")
        start = time.monotonic()
        survivors = [fault.name for fault in chosen if not _noticed(trials, fault)]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} faults were caught in {time.monotonic() - start:.0f} s")
    return 1 if survivors else 0


def _noticed(trials: Trials, fault: Fault) -> bool:
    begun = time.monotonic()
    found = caught(trials, fault)
    seconds = time.monotonic() - begun
    who = f"{found.layer}: {found.test}" if found else "SURVIVED"
    print(f"{fault.name:56} {seconds:5.1f} s  {who}", flush=True)
    if fault.rule:
        print(f"{'':56}          model: {harm(fault.rule)}", flush=True)
    return found is not None


if __name__ == "__main__":
    sys.exit(main())
