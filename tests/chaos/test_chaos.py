"""A queue in use while its workers and servers are killed, frozen and cut off: `./scripts/chaos`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Final

import pytest

from proving.journal import Journal
from proving.schedule import SERVERS, WORKERS, faults

SCRIPTS: Final = Path(__file__).parents[2] / "scripts"
JUDGED: Final = 15
"""How many invariants there are."""


@pytest.mark.timeout(300)
def test_a_queue_under_chaos_for_15_seconds_keeps_every_promise(tmp_path: Path) -> None:
    _survive(tmp_path, seconds=15, seed=7)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_queue_under_chaos_for_a_minute_keeps_every_promise(tmp_path: Path) -> None:
    _survive(tmp_path, seconds=60, seed=7)


@pytest.mark.long
@pytest.mark.timeout(3600 + 1800)
def test_a_queue_under_chaos_for_an_hour_keeps_every_promise(tmp_path: Path) -> None:
    _survive(tmp_path, seconds=3600, seed=11)


@pytest.mark.parametrize("sound", [True, False], ids=["sound", "broken"])
def test_a_record_can_be_judged_again_and_exits_1_where_an_invariant_is_broken(tmp_path: Path, sound: bool) -> None:
    journal = Journal(tmp_path, "director")
    journal.write("change", key="k", wall=1.0, version=1, state="ready")
    journal.write("change", key="k", wall=2.0, version=2, state="cancelled")
    journal.write("document", key="k", version=2, attempts=0, state="cancelled" if sound else "ready", last_token=None)

    ended = _chaos("--judge", str(tmp_path), "--json")
    assert ended.returncode == (0 if sound else 1), ended.stderr
    broken = {row["name"] for row in json.loads(ended.stdout)["invariants"] if row["broken"]}
    assert broken == (set() if sound else {"every task ends"})
    assert ("every task ends: task k is still ready" in ended.stderr) is not sound
    assert (str(tmp_path) in ended.stderr) is not sound
    assert list(tmp_path.iterdir()), "the record of another run is never deleted"


def _survive(folder: Path, *, seconds: float, seed: int) -> None:
    ended = _chaos("--seconds", str(seconds), "--seed", str(seed), "--folder", str(folder / "record"), "--json")
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    told = json.loads(ended.stdout)
    assert len(told["invariants"]) == JUDGED
    assert [row["name"] for row in told["invariants"] if not row["judged"]] == [], "it has shown nothing"
    assert told["faults"].keys() & WORKERS.keys()
    assert told["faults"].keys() & SERVERS.keys()
    assert told["states"]["completed"] > seconds


def test_a_seed_says_which_faults_come_and_when() -> None:
    def first(seed: int) -> list[object]:
        return list(islice(faults(seed, WORKERS, (1.0, 2.0), 3), 50))

    assert first(1) == first(1) != first(2)
    assert {fault.kind for fault in islice(faults(1, SERVERS, (1.0, 2.0)), 200)} == SERVERS.keys()


def _chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proving.chaos", *arguments],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
        check=False,
    )
