"""The page about performance: its rows, commands and simulation are those of the benchmarks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from benchmarks import document, lanes
from benchmarks.__main__ import ALL
from benchmarks.bench import BENCHMARKS
from benchmarks.goals import GOALS, Goal
from benchmarks.plan import PLAN, benchmark_of

PAGE = document.PAGE.read_text()
MEASURED: dict[str, Any] = {"figure": 12.5, "unit": "µs", "limit": 10.0, "ratio": 1.25}


def test_the_page_has_every_row_in_its_order_with_its_target() -> None:
    rows = re.findall(r"^\| `([a-z0-9.]+)` \| .* \| (.*) \|$", PAGE, re.MULTILINE)
    assert [(goal.row, goal.told) for goal in GOALS] == rows


def test_every_row_is_measured_by_the_command_that_the_page_names() -> None:
    assert {benchmark_of(goal.row) for goal in GOALS} <= PLAN.keys()


def test_every_benchmark_that_the_page_names_is_there() -> None:
    named = [
        line.split("#")[0].split(">")[0].split() for line in re.findall(r"^\./scripts/bench (.+)$", PAGE, re.MULTILINE)
    ]
    assert named
    for first, *others in named:
        if first not in ("compare", "document"):
            assert {first, *(name for name in others if not name.startswith("-"))} <= {ALL, *BENCHMARKS}


@pytest.mark.parametrize("count, batch", [(1, 1), (2, 1), (4, 100)])
def test_the_simulated_rank_errors_are_those_of_the_page(count: int, batch: int) -> None:
    found = [lanes.simulated(count, choice, batch) for choice in lanes.CHOICES]
    told = " | ".join(f"{one.mean:,.1f}, {one.p99:,.0f}" for one in found)
    assert f"| {count} | {batch} | {told} |" in PAGE


def test_new_figures_take_the_place_of_the_old() -> None:
    rows = {goal.row: MEASURED for goal in GOALS}
    text = document.table(rows) + document.fleets(rows)
    page = document.replaced(PAGE, text)
    assert text in page
    assert document.replaced(page, "") == document.replaced(PAGE, "")
    assert "| 1,000 | 12,500/s, 125 cores | 1,000 tasks/s: 0.0125 cores | 10,000 tasks/s: 0.225 cores |" in page
    with pytest.raises(ValueError, match="no place for the figures"):
        document.replaced("# Another page", text)


def test_a_ratio_that_misses_its_target_is_bold() -> None:
    rows = {goal.row: MEASURED for goal in GOALS}
    table = document.table(rows)
    assert "| 12.5 µs | 10: the raw loop | 1.25 | ≤ 1.3 |" in table
    assert "| 12.5 µs | 10: of one idle worker | 1.25 | ≤ 1.3 |" in table
    assert "| **1.25** | ≤ 1.12 |" in table
    assert Goal("", "", "", least=0.8).missed(0.79)
    assert not Goal("", "", "", least=0.8).missed(0.8)
    assert not Goal("", "", "").missed(0.1)


def test_the_readme_links_the_page_and_has_its_table_of_other_queues() -> None:
    text = document.README.read_text()
    assert "(docs/performance.md)" in text
    begin, end = document.PEERS
    own, of_the_page = (each.split(begin)[1].split(end)[0] for each in (text, PAGE))
    assert own == of_the_page
    assert [line.split(" | ")[0].removeprefix("| ") for line in own.splitlines()[4:]] == list(document.BESIDE.values())


def test_the_best_of_a_line_is_bold() -> None:
    rows: dict[str, Any] = {f"peers.{name}.celery": MEASURED for name in document.BESIDE}
    rows["peers.one.bullmq"] = MEASURED | {"limit": 20_000.0}
    first, *_, last = document.beside(rows).splitlines()[2:]
    assert first == "| drain, one worker at its best settings | 12.5 | - | **20,000** | 10 |"
    assert last == "| the 99th percentile, ms | 12.5 | - | - | **10** |"
