"""The page of `mongoq doctor` has every check, as the code declares it."""

from __future__ import annotations

from mongoq.diagnosis.check import Check
from mongoq.diagnosis.registry import CHECKS
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "operating" / "doctor.md").read_text()


def row_of(check: Check) -> str:
    return f"| `{check.name}` | {check.level} | {check.looks_for} | {check.effect} {check.advice} |"


def test_the_table_of_checks_is_that_of_the_code() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert rows == [row_of(one) for one in CHECKS], "the table of docs/operating/doctor.md is to be these rows"


def test_the_page_says_how_many_checks_there_are() -> None:
    assert f"{len(CHECKS)} checks" in PAGE
