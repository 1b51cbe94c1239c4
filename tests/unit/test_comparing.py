"""What `./scripts/bench compare` concludes from the rounds it has measured."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import comparing
from benchmarks.bench import BENCHMARKS
from benchmarks.comparing import Compared
from benchmarks.cost import UNITS
from benchmarks.plan import PLAN, ROWS, benchmark_of, is_wanted
from benchmarks.trees import HERE, Tree, trees

MEASURED = {"drain.delete": (100.0, "tasks/s"), "latency.p50": (5.0, "ms")}


@pytest.mark.parametrize(
    "unit, old, new, ratio",
    [("tasks/s", 100, 150, 1.5), ("tasks/s", 100, 50, 0.5), ("ms", 4, 2, 2), ("MB", 40, 80, 0.5), ("1/s", 1, 2, 0.5)],
)
def test_a_ratio_above_1_is_better_whatever_the_unit(unit: str, old: float, new: float, ratio: float) -> None:
    assert comparing.improvement(unit, old, new) == ratio


def test_a_unit_of_which_nobody_said_what_is_better_is_refused() -> None:
    with pytest.raises(ValueError, match="is more or less 'furlongs' better"):
        comparing.improvement("furlongs", 1, 2)


def test_every_unit_of_the_benchmarks_is_known() -> None:
    texts = "".join(file.read_text() for file in (HERE / "scripts/benchmarks").glob("*.py"))
    assert '"tasks/s"' in texts
    found = {unit for text in texts.split("Row(")[1:] for unit in re.findall(r'^[^"]*f?"[^"]+", "([^"]+)", ', text)}
    known = comparing.MORE_IS_BETTER | comparing.LESS_IS_BETTER
    assert {"tasks/s", "MB/s", "ms", "claims"} <= found <= known
    assert set(UNITS.values()) <= known


def test_the_ratio_of_a_row_is_the_median_of_its_rounds_and_not_that_of_the_medians() -> None:
    row = Compared("drain.delete", "tasks/s", old=[100, 200, 50], new=[90, 220, 20])
    assert row.as_json() == {
        "name": "drain.delete",
        "unit": "tasks/s",
        "old": 100,
        "new": 90,
        "ratio": 0.9,
        "minimum": 0.4,
        "maximum": 1.1,
        "worse": True,
    }


@pytest.mark.parametrize("new, worse", [(96.9, True), (97, False), (120, False)])
def test_a_row_below_the_limit_is_marked(new: float, worse: bool) -> None:
    assert Compared("drain.delete", "tasks/s", [100] * 3, [new] * 3).is_worse is worse


def test_a_row_belongs_to_the_benchmark_that_bears_most_of_its_name() -> None:
    names = ["drain.default", "drain.keep", "fleet.one.p50", "fleet.8", "fleet", "import", "nobody.knows.it"]
    of = ["drain.default", "drain", "fleet.one", "fleet", "fleet", "import", "nobody"]
    assert [benchmark_of(name) for name in names] == of


def test_every_planned_benchmark_is_there_and_every_guarded_row_is_planned() -> None:
    assert PLAN.keys() <= BENCHMARKS.keys()
    assert {benchmark_of(row) for row in ROWS} <= PLAN.keys()


def test_rows_are_paired_by_name_and_round() -> None:
    later = {"latency.p50": (4.0, "ms"), "drain.delete": (110.0, "tasks/s")}
    rows = comparing.pair([MEASURED, MEASURED], [later, MEASURED])
    assert rows == [
        Compared("latency.p50", "ms", [5, 5], [4, 5]),
        Compared("drain.delete", "tasks/s", [100, 100], [110, 100]),
    ]


def test_a_row_that_one_revision_lacks_is_left_out_and_named_where_it_was_wanted() -> None:
    grown = MEASURED | {"drain.more": (1.0, "tasks/s"), "other.more": (1.0, "tasks/s")}
    assert {row.name for row in comparing.pair([MEASURED], [grown])} == MEASURED.keys()
    assert comparing.lacking([MEASURED], [grown], ["drain"]) == ["drain.more"]
    assert comparing.lacking([grown], [MEASURED], ["drain.more", "other"]) == ["drain.more", "other.more"]


def test_a_row_is_wanted_by_its_own_name_or_its_benchmark_s() -> None:
    assert is_wanted("latency.8.p50", ["latency"])
    assert is_wanted("latency.8.p50", ["latency.8.p50"])
    assert not is_wanted("latency.8.p50", ["latency.p50", "drain"])


def test_what_a_benchmark_prints_is_read() -> None:
    printed = '{"bench": "import", "rows": [{"name": "import", "figure": 20.5, "unit": "ms", "limit": 110}]}'
    assert comparing.readings(json.loads(printed)) == {"import": (20.5, "ms")}


def test_a_tree_that_would_measure_another_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="old would be measured with"):
        Tree("old", tmp_path, HERE / "scripts").benchmarks()


def test_a_tree_measures_its_own_package_with_its_own_benchmarks(tmp_path: Path) -> None:
    """The interpreter is one where the working tree is installed."""
    root = tmp_path / "tree"
    (root / "mongoq").mkdir(parents=True)
    (root / "mongoq/__init__.py").touch()
    (root / "scripts/benchmarks").mkdir(parents=True)
    (root / "scripts/benchmarks/__init__.py").touch()
    (root / "scripts/benchmarks/bench.py").write_text("BENCHMARKS = {'only': None}")
    assert Tree("old", root, root / "scripts").benchmarks() == ["only"]


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_revision_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no revision 'nowhere'"):
        trees("nowhere", tmp_path, "own")


def test_compare_has_help_that_says_which_benchmarks_to_use() -> None:
    command = [sys.executable, "-m", "benchmarks", "compare", "--help"]
    told = subprocess.run(command, cwd=HERE / "scripts", text=True, capture_output=True, check=True).stdout
    assert "--benchmarks here measures it on both" in " ".join(told.split())
