"""The faults of scripts/mutants: each can still be seeded, reaches every process under test, and is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proving.mutants import START
from proving.seeded.fault import MISFITS, CannotSeedError, Fault, Part

ROOT = Path(__file__).parents[2]
SPAWN = """
import multiprocessing
from mongoq.worker.ledger import Ledger
from mongoq.worker.services.renewer import RENEWALS_PER_LEASE

def tell(queue):
    queue.put(RENEWALS_PER_LEASE)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    child = context.Process(target=tell, args=(queue,))
    child.start()
    child.join()
    print(RENEWALS_PER_LEASE, queue.get())
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [sys.executable, "-m", "proving.mutants", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def part(target: str, replacement: Any = None, *, constant: bool = False) -> Fault:
    return Fault("a fault of this test", (), "", [Part(target, replacement, constant)])


def test_every_fault_can_still_be_seeded() -> None:
    done = run("--check")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "target, why",
    [
        ("mongoq.storage.nowhere:held", "cannot be imported"),
        ("mongoq.storage.documents.filters:gone", "is missing"),
        ("mongoq.core.clock:ServerClock.gone", "is missing"),
        ("mongoq.storage.documents.filters:sources", "is defined elsewhere: mongoq.core.lifecycle"),
        ("mongoq.storage.documents.filters:SKEW", "is no function"),
    ],
)
def test_a_fault_whose_target_is_missing_is_told_by_its_name(target: str, why: str) -> None:
    with pytest.raises(CannotSeedError, match=f"a fault of this test: {target} {why}"):
        part(target).check()


def test_a_constant_that_a_replacement_does_not_fit_is_told() -> None:
    with pytest.raises(CannotSeedError, match="does not fit"):
        part("mongoq.storage.documents.filters:SKEW", lambda skew: skew["gone"], constant=True).check()


def test_a_fault_reaches_children_and_the_names_that_others_imported(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SPAWN)
    for fault, seen in (({}, "3 3"), ({"MONGOQ_FAULT": "a lease is renewed when it is over"}, "1 1")):
        environment = {**os.environ, **fault, "PYTHONPATH": os.pathsep.join([str(START), str(ROOT)])}
        command = [sys.executable, str(program)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == seen, done.stderr


def test_a_replacement_that_raises_by_itself_is_noted_and_an_error_of_the_original_is_not(tmp_path: Path) -> None:
    program = """
from contextlib import suppress
from mongoq.storage.documents import filters
with suppress({}):
    filters.held({})
"""
    environment = {
        **os.environ,
        "MONGOQ_FAULT": "no fence",
        "PYTHONPATH": os.pathsep.join([str(START), str(ROOT)]),
        MISFITS: str(tmp_path / "misfits"),
    }
    for error, given, noted in (("TypeError", "(), 5", False), ("TypeError", "()", True)):
        command = [sys.executable, "-c", program.format(error, given)]
        subprocess.run(command, env=environment, check=True)
        assert (tmp_path / "misfits").exists() is noted


def test_a_fault_of_the_protocol_is_noticed_by_the_model_and_by_a_test_of_the_code() -> None:
    done = run("--only", "no fence")
    assert done.returncode == 0, done.stderr
    assert "model: a stale write was accepted" in done.stdout
    assert "1 of 1 faults were caught" in done.stdout


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_fault_is_noticed() -> None:
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
