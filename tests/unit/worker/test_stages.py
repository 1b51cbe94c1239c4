"""The table of stages, and that the ledger keeps to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mongoq.core.judging.verdict import Verdict
from mongoq.core.lifecycle import Event
from mongoq.worker.attempt import LiveAttempt
from mongoq.worker.ledger import Ledger
from mongoq.worker.stages import HELD, TRANSITIONS, Completion, Stage

Make = Callable[..., LiveAttempt]
DONE = Verdict(Event.COMPLETE)


def _claim(ledger: Ledger, attempt: LiveAttempt) -> None:
    ledger.claim([attempt])


def _wait(ledger: Ledger, attempt: LiveAttempt) -> None:
    ledger.wait([attempt])


def _start(ledger: Ledger, attempt: LiveAttempt) -> None:
    ledger.start(attempt)


def _end(ledger: Ledger, attempt: LiveAttempt) -> None:
    ledger.end(attempt, DONE)


def _write(ledger: Ledger, attempt: LiveAttempt) -> None:
    ledger.written([Completion(attempt, DONE)])


def _refuse(ledger: Ledger, attempt: LiveAttempt) -> None:
    ledger.written([Completion(attempt, DONE)], [attempt])


def _lose(ledger: Ledger, attempt: LiveAttempt) -> None:
    ledger.lose(attempt)


def _reopen(_: Ledger, attempt: LiveAttempt) -> None:
    attempt.reopen()
    attempt.reach(Stage.CLAIMED)


DO: dict[tuple[str, Stage], Callable[[Ledger, LiveAttempt], None]] = {
    ("claim", Stage.CLAIMED): _claim,
    ("wait", Stage.WAITING): _wait,
    ("start", Stage.RUNNING): _start,
    ("end", Stage.ENDED): _end,
    ("written", Stage.WRITTEN): _write,
    ("written", Stage.LOST): _refuse,
    ("lose", Stage.LOST): _lose,
    ("reopen", Stage.CLAIMED): _reopen,
}
WAY = {
    Stage.CLAIMED: [_claim],
    Stage.WAITING: [_claim, _wait],
    Stage.RUNNING: [_claim, _wait, _start],
    Stage.ENDED: [_claim, _wait, _start, _end],
    Stage.WRITTEN: [_claim, _end, _write],
    Stage.LOST: [_claim, _lose],
}


def brought_to(stage: Stage | None, make_attempt: Make) -> tuple[Ledger, LiveAttempt]:
    ledger, attempt = Ledger(), make_attempt(0.0)
    for step in WAY[stage] if stage is not None else ():
        step(ledger, attempt)
    return ledger, attempt


ROWS = [(row.event, source, row.target) for row in TRANSITIONS for source in row.sources or (None,)]


@pytest.mark.parametrize("event, source, target", ROWS)
def test_every_row_of_the_table_is_a_way_that_an_attempt_goes(
    make_attempt: Make, event: str, source: Stage | None, target: Stage
) -> None:
    ledger, attempt = brought_to(source, make_attempt)
    assert source is None or attempt.stage is source
    DO[event, target](ledger, attempt)
    assert attempt.stage is target
    assert (attempt in ledger.all()) is (target in HELD), "exactly what is held is renewed"


@pytest.mark.parametrize("stage", [Stage.ENDED, Stage.WRITTEN, Stage.LOST])
def test_what_has_ended_neither_starts_nor_ends_nor_is_lost_again(make_attempt: Make, stage: Stage) -> None:
    ledger, attempt = brought_to(stage, make_attempt)
    assert not ledger.start(attempt)
    assert ledger.end(attempt, DONE) is None
    assert not ledger.lose(attempt)
    assert attempt.stage is stage


def test_the_table_leads_every_attempt_to_an_end() -> None:
    sources = {source for row in TRANSITIONS for source in row.sources}
    assert set(Stage) - sources == {Stage.WRITTEN, Stage.LOST}
    assert {row.target for row in TRANSITIONS} == set(Stage)


def test_a_lost_attempt_keeps_its_slot_until_its_handler_ends(make_attempt: Make) -> None:
    ledger, attempt = brought_to(Stage.RUNNING, make_attempt)
    ledger.lose(attempt)
    assert (len(ledger), ledger.active) == (0, 1)
    ledger.leave([attempt])
    assert ledger.active == 0
