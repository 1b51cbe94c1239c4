"""The judge of chaos runs must be able to find guilty: each invariant against a small history that breaks it alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proving.history import GONE, Claimed, Finding, History
from proving.invariants import INVARIANTS
from proving.journal import Journal, Line, read

A = "a" * 32
B = "b" * 32


def made(at: float, key: str, *, urgency: int = 0, delayed: bool = False) -> Line:
    return {"what": "made", "at": at, "by": "producer-0", "tasks": [[key, urgency, delayed]]}


def claim(at: float, key: str, token: str, **facts: Any) -> Line:
    by, sent, doubtful = facts.pop("by", "worker-1"), facts.pop("sent", at - 0.1), facts.pop("doubtful", False)
    task = Claimed(key, token, **({"attempt": 1, "priority": 0, "run_at": 0.0, "lease": 2.0} | facts))
    return {"what": "claimed", "at": at, "by": by, "sent": sent, "doubtful": doubtful, "tasks": [list(task)]}


def change(wall: float, key: str, version: int, **written: Any) -> Line:
    return {"what": "change", "at": wall, "by": "director", "key": key, "wall": wall, "version": version, **written}


def say(what: str, at: float, key: str, token: str, **more: Any) -> Line:
    return {"what": what, "at": at, "by": "worker-1", "key": key, "token": token, **more}


def accepted(at: float, key: str, token: str, event: str = "complete", by: str = "worker-1") -> Line:
    return {"what": "accepted", "at": at, "by": by, "endings": [[key, token, event]]}


def document(key: str, **facts: Any) -> Line:
    usual = {"state": "completed", "attempts": 1, "version": 3, "last_token": f"{A}/complete"}
    return {"what": "document", "at": 99.0, "by": "director", "key": key, **usual, **facts}


def life(key: str = "k", *, at: float = 10.0, urgency: int = 0) -> list[Line]:
    """A task that is made, claimed and completed without any trouble."""
    return [
        change(at, key, 1, state="ready"),
        made(at + 0.1, key, urgency=urgency),
        change(at + 1, key, 2, state="running", token=A, attempts=1, lease_until=at + 3, worker="host:11:x"),
        claim(at + 1.1, key, A, sent=at + 0.9, priority=urgency),
        say("ran", at + 1.2, key, A),
        say("returned", at + 1.5, key, A),
        say("ended", at + 1.5, key, A, event="complete"),
        change(at + 1.6, key, 3, state="completed", last_token=f"{A}/complete"),
        accepted(at + 1.7, key, A),
        document(key),
    ]


def lost_and_found(key: str = "k") -> list[Line]:
    """Its first worker freezes with it, the lease ends, another completes it."""
    ready = {"state": "ready", "uncharged": 1}
    return [
        {"what": "began", "at": 1.0, "by": "worker-1", "pid": 11},
        {"what": "began", "at": 1.0, "by": "worker-2", "pid": 22},
        change(10, key, 1, state="ready"),
        made(10.1, key),
        change(11, key, 2, state="running", token=B, attempts=1, lease_until=13.0, worker="host:11:x"),
        claim(11.1, key, B, sent=10.9),
        change(14, key, 3, **ready),
        change(15, key, 4, state="running", token=A, attempts=2, lease_until=17.0, worker="host:22:y"),
        claim(15.1, key, A, sent=14.9, attempt=2, by="worker-2"),
        say("returned", 15.5, key, A),
        say("ended", 15.5, key, A, event="complete"),
        change(15.6, key, 5, state="completed", last_token=f"{A}/complete"),
        accepted(15.7, key, A, by="worker-2"),
        document(key, attempts=2, version=5),
    ]


def deleted(key: str = "k") -> list[Line]:
    """A task that is deleted on completion."""
    kept = [line for line in life(key) if line["what"] != "document" and line.get("version") != 3]
    return [*kept, {"what": "change", "at": 11.6, "by": "director", "key": key, "wall": 11.6, "state": GONE}]


def verdict(lines: list[Line]) -> dict[str, Finding]:
    history = History(lines)
    return {finding.name: finding for finding in (invariant(history) for invariant in INVARIANTS)}


def broken(lines: list[Line]) -> set[str]:
    return {name for name, finding in verdict(lines).items() if finding.broken}


def without(lines: list[Line], *what: str) -> list[Line]:
    return [line for line in lines if line["what"] not in what]


@pytest.mark.parametrize(
    "lines", [life(), lost_and_found(), deleted() + life("other")], ids=["one attempt", "a lost lease", "a deletion"]
)
def test_a_sound_history_is_found_sound_by_every_invariant(lines: list[Line]) -> None:
    found = verdict(lines)
    assert {name for name, finding in found.items() if finding.broken} == set()
    assert {name for name, finding in found.items() if not finding.judged} == set()
    assert len(found) == len(INVARIANTS)


def edited(lines: list[Line], what: str, nth: int = 0, **changed: Any) -> list[Line]:
    """The history with one line told otherwise."""
    places = [place for place, line in enumerate(lines) if line["what"] == what]
    return [{**line, **changed} if place == places[nth] else line for place, line in enumerate(lines)]


GUILTY: dict[str, tuple[list[Line], str]] = {
    "a change that nobody saw": ([*without(life(), "document"), document("k", version=4)], "the record is whole"),
    "an acknowledged task that is gone": ([*life(), made(20, "other")], "acknowledged tasks are there"),
    "a task that never ends": (
        [change(10, "k", 1, state="ready"), document("k", state="ready", attempts=0, version=1, last_token=None)],
        "every task ends",
    ),
    "an ending that was accepted twice": ([*life(), accepted(12, "k", A)], "one accepted ending"),
    "an ending that was accepted and is not there": (
        [*life(), accepted(12, "k", B, by="worker-2")],
        "one accepted ending",
    ),
    "an ending of a task that the servers do not know": ([*life(), accepted(12, "other", B)], "one accepted ending"),
    "completed without a handler": (without(life(), "returned"), "completed means handled"),
    "completed under another claim than the one that returned": (
        edited(life(), "returned", token=B),
        "completed means handled",
    ),
    "an ending under a token that does not hold the task": (
        without(edited(lost_and_found(), "change", -1, last_token=f"{B}/complete"), "accepted"),
        "every write is fenced",
    ),
    "a deletion without a handler": (
        [line for line in deleted() + life("other") if (line["what"], line.get("key")) != ("returned", "k")],
        "completed means handled",
    ),
    "a deletion of a task that nobody holds": (
        [
            *life("other"),
            *deleted()[:-1],
            change(11.55, "k", 3, state="ready", last_token=f"{A}/release"),
            deleted()[-1],
        ],
        "every write is fenced",
    ),
    "a step that the lifecycle does not know": (
        edited(edited(life(), "change", 0, state="scheduled"), "made", tasks=[["k", 0, True]]),
        "every write is fenced",
    ),
    "two leases at once": (
        edited(lost_and_found(), "claimed", 0, sent=14.0),
        "one valid lease at a time",
    ),
    "two leases at once by a renewal": (
        [
            *lost_and_found(),
            {"what": "renewed", "at": 12.0, "by": "worker-1", "until": 15.3, "tasks": [["k", B]]},
        ],
        "one valid lease at a time",
    ),
    "a task taken away before its lease ended": (
        edited(lost_and_found(), "change", 1, lease_until=14.5),
        "one valid lease at a time",
    ),
    "a claim that was not counted": (
        edited(lost_and_found(), "document", attempts=1),
        "attempts equal claims",
    ),
    "two claims with one number": (
        edited(lost_and_found(), "claimed", 1, tasks=[list(Claimed("k", A, 1, 0, 0.0, 2.0))]),
        "attempts equal claims",
    ),
    "a claim that its worker did not hear of without any trouble": (
        without(life(), "claimed"),
        "attempts equal claims",
    ),
    "a lower priority before a higher one": (
        life("low", at=11) + life("high", at=10, urgency=5)[:2] + life("high", at=20, urgency=5)[2:],
        "no inversion of priorities",
    ),
    "a task before its time": (
        edited(life(), "claimed", tasks=[list(Claimed("k", A, 1, 0, 13.0, 2.0))]),
        "not before its time",
    ),
}


@pytest.mark.parametrize("lines, name", GUILTY.values(), ids=GUILTY)
def test_a_history_that_breaks_one_invariant_is_found_guilty_of_it_alone(lines: list[Line], name: str) -> None:
    assert broken(lines) == {name}


def test_an_ending_twice_in_the_servers_record_is_found() -> None:
    ends = [change(12, "k", 4, state="completed"), document("k", version=4)]
    assert "one accepted ending" in broken(without(life(), "document") + ends)


def test_an_ending_that_a_sweep_wrote_has_no_token_and_is_told_once() -> None:
    swept = accepted(12, "k", A, event="cancel") | {"endings": [["k", None, "cancel"]]}
    assert "one accepted ending" not in broken([*life(), swept])
    assert "one accepted ending" in broken([*life(), swept, swept])


FAULT: dict[str, Callable[[float], list[Line]]] = {
    "its worker died": lambda at: [{"what": "died", "at": at, "by": "director", "target": "worker-1"}],
    "its worker froze": lambda at: [
        {"what": "fault", "at": at, "by": "director", "kind": "freeze", "target": "worker-1"}
    ],
    "the primary was killed": lambda at: [
        {"what": "fault", "at": at, "by": "director", "kind": "kill primary", "target": "0"},
        {"what": "over", "at": at + 5, "by": "director", "kind": "kill primary", "target": "0"},
    ],
}


@pytest.mark.parametrize("fault", FAULT.values(), ids=FAULT)
def test_a_claim_that_was_not_heard_of_is_excused_by_a_fault_near_it_and_by_no_other(
    fault: Callable[[float], list[Line]],
) -> None:
    unheard = [line for line in lost_and_found() if line["what"] != "claimed" or line["by"] != "worker-1"]
    assert broken(unheard) == {"attempts equal claims"}
    near, later = [*unheard, *fault(12.0)], [*unheard, *fault(40.0)]
    assert broken(near) == set()
    assert verdict(near)["attempts equal claims"].excused == 1
    assert broken(later) == {"attempts equal claims"}


def test_an_inversion_counts_only_where_the_higher_task_was_ready_all_the_time() -> None:
    low, high = life("low", at=11), life("high", at=20, urgency=5)[2:]

    def judged(*acknowledged: Line, claimed: list[Line] = low, other: list[Line] = high) -> set[str]:
        return broken([*claimed, change(10, "high", 1, state="ready"), *acknowledged, *other])

    inversion = {"no inversion of priorities"}
    assert judged(made(10.1, "high", urgency=5)) == inversion
    assert judged(made(12.05, "high", urgency=5)) == set(), "acknowledged while the claim was under way"
    assert judged(made(10.1, "high", urgency=5, delayed=True)) == set(), "not known to be ready"
    assert judged(made(10.1, "high", urgency=5), claimed=edited(low, "claimed", doubtful=True)) == set()
    early = edited(high, "claimed", sent=12.05)
    assert judged(made(10.1, "high", urgency=5), other=early) == set(), "on its way to another claimant"
    given = [{**low[0], "state": "parked"}, *low[1:]]
    assert judged(made(10.1, "high", urgency=5), claimed=given) == set(), "a slot that came free was given to it"
    stale = FAULT["the primary was killed"](5.0)
    assert judged(made(10.1, "high", urgency=5), *stale) == set(), "the look may have been at a stale primary"


def test_a_line_cut_short_by_a_kill_counts_as_not_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "worker-1")
    journal.write("began", pid=11)
    journal.write("ended", key="k")
    with (tmp_path / "worker-1.jsonl").open("ab") as file:
        file.write(json.dumps({"what": "accepted"}).encode()[:-5])
    lines = list(read(tmp_path))
    assert [(line["what"], line["by"]) for line in lines] == [("began", "worker-1"), ("ended", "worker-1")]
    assert lines[0]["at"] <= lines[1]["at"]
