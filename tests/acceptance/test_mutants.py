"""The faults of scripts/mutants: each can still be seeded, and each is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [sys.executable, "-m", "proving.mutants", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_fault_can_still_be_seeded() -> None:
    done = run("--check")
    assert done.returncode == 0, done.stderr


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
