"""What the command line prints fits the terminal, whatever tasks are called."""

from __future__ import annotations

import io
import sys
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from mongoq.cli import main, output
from mongoq.cli.output import Sheet, brief, clean
from mongoq.cli.printing.fitting import fitted
from mongoq.cli.printing.width import cells, cut, fold, hanging

TEXTS = st.text(max_size=60).map(clean)
NASTY = ("a\u0301" * 30, "שלום עולם " * 9, "مَرْحَبًا " * 9, "鍵" * 50, "👍🏽❤️🇨🇭" * 20, "x" * 200, "e\u20dd", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "text, width",
    [("a\u0301", 1), ("e\u20dd", 1), ("鍵", 2), ("👍", 2), ("❤️", 2), ("👍🏽", 4), ("שלום", 4), ("abc", 3)],
)
def test_marks_take_no_column_and_emoji_take_two(text: str, width: int) -> None:
    assert cells(text) == width


@given(TEXTS, st.integers(2, 90))
@example("鍵0", 2)
def test_a_cut_text_fits_and_is_its_beginning(text: str, width: int) -> None:
    short = cut(text, width)
    assert cells(short) <= width
    assert short == text or text.startswith(short.removesuffix("…").rstrip())


@given(TEXTS, st.integers(2, 90))
def test_a_folded_text_fits_and_loses_nothing_but_spaces(text: str, width: int) -> None:
    lines = fold(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(TEXTS, st.integers(20, 90), st.integers(0, 8))
def test_a_hanging_text_fits_and_loses_nothing_but_spaces(text: str, width: int, indent: int) -> None:
    lines = hanging(text, width, indent)
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


ROWS = st.lists(st.tuples(TEXTS, st.integers(0, 10**7), TEXTS, TEXTS, st.sampled_from(NASTY)), min_size=1, max_size=6)


@settings(max_examples=60)
@given(ROWS, st.integers(20, 120), st.booleans(), st.booleans())
def test_no_line_of_a_table_is_wider_than_the_terminal(rows: Any, width: int, cutting: bool, sparse: bool) -> None:
    columns = ("key", "count", "name", "error", "tags")
    sheet = Sheet("t", columns, rows, "", cut=cutting, sparse=sparse, least={"key": 36, "error": 20}, drops=("tags",))
    lines = fitted(sheet, width)
    assert max(map(cell_len, lines)) <= width
    assert len(lines) == 1 + len(rows) if cutting else len(lines) > len(rows)


def test_a_table_with_room_shows_all_of_it() -> None:
    sheet = Sheet("t", ("key", "n"), [("k" * 50, 1_000)], "", cut=True, least={"key": 8}, drops=("n",))
    assert fitted(sheet, 80) == [f"{'KEY':50}      N", f"{'k' * 50}  1,000"]


def test_columns_are_left_out_in_the_order_that_the_table_says() -> None:
    row = ("k" * 32, "running", "t" * 40)
    sheet = Sheet("t", ("key", "state", "tags"), [row], "", cut=True, least={"key": 36}, drops=("tags",))
    assert fitted(sheet, 54)[0].split() == ["KEY", "STATE", "TAGS"]
    assert fitted(sheet, 44)[0].split() == ["KEY", "STATE"]


def test_the_key_is_whole_while_another_column_can_give_way() -> None:
    row = ("k" * 32, "running", "n" * 128, "E" * 200)
    sheet = Sheet("t", ("key", "state", "name", "error"), [row], "", cut=True, least={"key": 36, "error": 26})
    assert fitted(sheet, 80)[1].startswith("k" * 32 + " ")


@pytest.mark.parametrize(
    "seconds, text", [(0.4, "0s"), (59, "59s"), (61, "1m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d"), (-5, "0s")]
)
def test_a_short_duration_has_one_unit(seconds: float, text: str) -> None:
    assert brief(timedelta(seconds=seconds)) == text


def test_a_note_takes_several_lines_on_a_terminal_and_one_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for stream, most in ((Terminal(), 80), (io.StringIO(), 1_000)):
        monkeypatch.setattr(sys, "stderr", stream)
        output.note("鍵 " * 100)
        lines = stream.getvalue().splitlines()
        assert lines[0].startswith("mongoq: 鍵")
        assert all(cell_len(line) <= most for line in lines)
        assert (len(lines) > 1) is stream.isatty()


@pytest.mark.parametrize("typed", ["puse", "puge", "delte", "cancle", "stop-worke", "mov"])
def test_a_misspelt_command_never_proposes_one_that_does_harm(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([typed]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"mongoq: no such command '{typed}'")
    for harmful in ("purge", "delete", "cancel", "stop-worker", "move"):
        assert repr(harmful) not in said


def test_a_misspelt_command_proposes_the_one_that_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--namespace", "x", "puse"]) == 2
    assert "did you mean 'pause'?" in capsys.readouterr().err
