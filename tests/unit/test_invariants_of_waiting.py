"""The judge of limits, parents and batches in chaos runs finds guilty what breaks one of its invariants."""

from __future__ import annotations

import pytest

from proving.history import Finding, History
from proving.journal import Line
from proving.waiting import WAITING


def change(wall: float, key: str, **written: object) -> Line:
    return {"what": "change", "at": wall, "by": "director", "key": key, "wall": wall, **written}


def life(key: str, at: float, state: str = "completed", **born: object) -> list[Line]:
    return [
        change(at, key, state="ready", **born),
        change(at + 1, key, state="running"),
        change(at + 2, key, state=state),
    ]


def child(at: float, *, born_at: float = 0.0, **born: object) -> list[Line]:
    return [
        change(born_at, "child", state="parked", parents=["one", "two"], **born),
        change(at, "child", state="ready"),
        change(at + 1, "child", state="running"),
        change(at + 2, "child", state="completed"),
    ]


def batch(at: float, *, counted: int = 2) -> list[Line]:
    return [
        change(0, "batch", state="parked", callback=True),
        change(0.5, "batch", closed=True),
        change(at, "batch", state="ready", counted=counted),
        *[change(at + 1 + step, "batch", state=state) for step, state in enumerate(("running", "completed"))],
    ]


def members() -> list[Line]:
    return [line for number in range(2) for line in life(f"member-{number}", 1, batch="batch")]


def in_order(*lives: list[Line]) -> list[Line]:
    return sorted((line for life in lives for line in life), key=lambda line: float(line["wall"]))


def limited(count: int) -> list[Line]:
    return [line for number in range(count) for line in life(f"l{number}", 1, limits=["tenant"], tenant="a")]


def rated(count: int) -> list[Line]:
    return [line for number in range(count) for line in life(f"r{number}", number / 1000, limits=["calls"])]


SOUND = in_order(life("one", 1), life("two", 2), child(5), members(), batch(6), limited(3), rated(20))
CALM: Line = {"what": "over", "at": 100.0, "by": "director", "kind": "kill primary", "target": "0"}
HARM: Line = {**CALM, "what": "fault", "at": 90.0}


def verdict(lines: list[Line]) -> dict[str, Finding]:
    history = History(lines)
    return {finding.name: finding for finding in (invariant(history) for invariant in WAITING)}


def broken(lines: list[Line]) -> set[str]:
    return {name for name, finding in verdict(lines).items() if finding.broken}


def test_a_sound_history_is_found_sound_by_every_invariant() -> None:
    assert broken(SOUND) == set()
    assert {name for name, finding in verdict(SOUND).items() if not finding.judged} == set()


GUILTY: dict[str, tuple[list[Line], str]] = {
    "four of a group of three": (in_order(limited(4)), "never above a limit"),
    "too many of a rate": (in_order(rated(36)), "never above a rate"),
    "a child beside its parent": (in_order(life("one", 1), life("two", 5), child(5)), "no child before its parents"),
    "a child of a failed parent": (
        in_order(life("one", 1), life("two", 1, "failed"), child(5)),
        "no child before its parents",
    ),
    "a callback beside a member": (in_order(members(), batch(2.5)), "one callback of a batch"),
    "a callback that missed a member": (in_order(members(), batch(6, counted=1)), "one callback of a batch"),
    "a member after the callback": (
        in_order(members(), batch(6), life("late", 20, batch="batch")),
        "one callback of a batch",
    ),
    "two callbacks": (
        [
            *in_order(members(), batch(6)),
            *[change(20 + n, "batch", state=s) for n, s in enumerate(("parked", "ready"))],
        ],
        "one callback of a batch",
    ),
    "a child that nobody released": (
        in_order(life("one", 1), life("two", 1), child(22)),
        "nothing waits for nothing",
    ),
    "a callback that nobody made": (in_order(members(), batch(47)), "nothing waits for nothing"),
}


@pytest.mark.parametrize("lines, name", GUILTY.values(), ids=GUILTY)
def test_a_history_that_breaks_one_invariant_is_found_guilty_of_it(lines: list[Line], name: str) -> None:
    assert broken(lines) == {name}


def test_a_child_may_run_after_a_failed_parent_where_it_asks_for_that_and_late_after_a_fault() -> None:
    failed = in_order(life("one", 1), life("two", 1, "failed"), child(5, on_parent_failure="run"))
    assert broken(failed) == set()
    late = in_order(life("one", 1), life("two", 1), child(120))
    assert broken([*late, HARM, CALM]) == set()
    assert broken(late) == {"nothing waits for nothing"}
