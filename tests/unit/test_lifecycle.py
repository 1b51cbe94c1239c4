from __future__ import annotations

from datetime import timedelta

import pytest

from mongoq.core.clock import FrozenClock
from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import FINISHED, LIVE, TRANSITIONS, WAITING, Event, TaskState, diagram, sources, targets
from mongoq.storage.documents.updates import ended, state_after

NO_VERDICTS = {
    Event.NEW,
    Event.CLAIM,
    Event.RENEW,
    Event.PROMOTE,
    Event.CHANGE,
    Event.RERUN,
    Event.PARK,
    Event.UNPARK,
    Event.ADMIT,
}
VERDICTS = set(Event) - NO_VERDICTS
"""What may become of an attempt."""
NOW = FrozenClock().now()


def test_every_state_is_reached_from_a_new_task() -> None:
    reached = set(targets(Event.NEW))
    while True:
        further = {row.target for row in TRANSITIONS if reached & set(row.sources)} - reached
        if not further:
            break
        reached |= further
    assert reached == set(TaskState)


def test_a_finished_state_has_no_way_out_but_an_operator_s() -> None:
    assert {row.event for row in TRANSITIONS if set(row.sources) & set(FINISHED)} == {Event.RERUN}


def test_every_live_state_has_a_way_to_every_end() -> None:
    for start in LIVE:
        reached = {start}
        for _ in TaskState:
            reached |= {row.target for row in TRANSITIONS if reached & set(row.sources)}
        assert set(FINISHED) <= reached, start


def test_a_state_is_either_live_or_finished() -> None:
    assert set(LIVE) | set(FINISHED) == set(TaskState)
    assert not set(LIVE) & set(FINISHED)
    assert set(WAITING) == set(LIVE) - {TaskState.RUNNING}


def test_only_a_claim_or_a_renewal_leads_to_running() -> None:
    assert {row.event for row in TRANSITIONS if row.target is TaskState.RUNNING} == {
        Event.CLAIM,
        Event.ADMIT,
        Event.RENEW,
    }
    assert sources(Event.CLAIM) == (TaskState.READY,)


def test_every_event_is_in_the_table() -> None:
    assert {row.event for row in TRANSITIONS} == set(Event)


@pytest.mark.parametrize("event", sorted(VERDICTS))
@pytest.mark.parametrize("run_at", [None, NOW + timedelta(seconds=1)], ids=["now", "later"])
def test_what_a_verdict_writes_is_what_the_table_says(event: Event, run_at: None) -> None:
    verdict = Verdict(event, run_at=run_at)
    assert TaskState.RUNNING in sources(event)
    assert state_after(verdict) in targets(event)
    assert ended(verdict, "t1", NOW)["$set"]["state"] in targets(event)


def test_a_rescued_task_waits_where_its_verdict_says_until_when() -> None:
    assert state_after(Verdict(Event.RESCUE)) is TaskState.READY
    assert state_after(Verdict(Event.RESCUE, run_at=NOW)) is TaskState.SCHEDULED


def test_the_diagram_shows_every_transition() -> None:
    lines = [line.strip() for line in diagram().splitlines()]
    assert lines[0] == "stateDiagram-v2"
    for row in TRANSITIONS:
        for source in row.sources or ("[*]",):
            assert f"{source} --> {row.target}: {row.event}, {row.when}" in lines
    assert {line for line in lines if line.endswith("--> [*]")} == {f"{state} --> [*]" for state in FINISHED}
    arrows = sum(max(1, len(row.sources)) for row in TRANSITIONS)
    assert len(lines) == 1 + arrows + len(FINISHED)
