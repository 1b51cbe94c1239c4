"""Parents and batches in any order of verbs, against a small model; and that the comparison sees faults."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from mongoq.storage.commands import Document
from mongoq.storage.documents import flow
from mongoq.storage.documents.batching import batches
from mongoq.storage.operations import bulk
from proving.flow_machine import FlowMachine


def prove(examples: int, *, seeded: bool = True) -> None:
    run_state_machine_as_test(
        FlowMachine,
        settings=settings(
            deadline=None, max_examples=examples, stateful_step_count=30, derandomize=seeded, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate], report_multiple_bugs=False,
        ),
    )  # fmt: skip


def test_parents_and_batches_do_as_the_model_says_in_any_order() -> None:
    prove(60)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_parents_and_batches_do_as_the_model_says_for_long() -> None:
    prove(5_000, seeded=False)


def no_look_before_the_callback(patch: pytest.MonkeyPatch) -> None:
    over = batches.over

    def blind(*given: Any) -> list[Document]:
        return [stage for stage in over(*given) if stage.get("$match", {}).keys() != {"members_left"}]

    patch.setattr(batches, "over", blind)


def no_wait_for_the_other_parents(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(flow, "told", lambda _: {"$set": {"after": []}})


def no_children_of_a_cancelled_task(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bulk, "follow_task", lambda *_: iter(()))


@pytest.mark.parametrize(
    "fault", [no_look_before_the_callback, no_wait_for_the_other_parents, no_children_of_a_cancelled_task]
)
def test_the_model_sees_a_fault(fault: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(fault)
    fault(monkeypatch)
    with pytest.raises((AssertionError, LookupError)):
        prove(300)
