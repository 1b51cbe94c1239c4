"""Every verb in any order against a small model: the machine is in `proving.change_machine` and what it stands on.

The server is real and the clock stands still. That the comparison sees anything is shown by faults put into the
product: with each of them it must fail.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.context import Context
from mongoq.storage.documents import fields, filters, updates
from mongoq.storage.drivers.connection import connect
from mongoq.storage.operations import finish
from mongoq.storage.operations.modify import apply
from proving.change_machine import Machine
from proving.compared import DiffersError


def prove(uri: str, examples: int, steps: int, *, seeded: bool = True) -> None:
    """Run the machine; a difference is told as found where a fault was planted, and made small elsewhere."""
    connection = connect(uri)
    machine = type("Proof", (Machine,), {"connection": connection})
    health = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                deadline=None, max_examples=examples, stateful_step_count=steps, derandomize=seeded, database=None,
                suppress_health_check=health, phases=[Phase.generate], report_multiple_bugs=False,
            ),
        )  # fmt: skip
    finally:
        connection.close()


def test_every_verb_in_any_order_does_as_the_model_says(server: EmbeddedServer) -> None:
    prove(server.uri, 30, 50)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_verb_in_any_order_does_as_the_model_says_for_long(server: EmbeddedServer) -> None:
    prove(server.uri, 500, 100, seeded=False)


# Faults put into the product


def no_fence(patch: pytest.MonkeyPatch) -> None:
    held = filters.held
    without = fields.TOKEN
    patch.setattr(filters, "held", lambda *a: {name: value for name, value in held(*a).items() if name != without})


def attempts_counted_at_failure(patch: pytest.MonkeyPatch) -> None:
    claimed, ended = updates.claimed, updates.ended

    def claims_free(*a: Any) -> Any:
        update = claimed(*a)
        del update["$inc"][fields.ATTEMPTS]
        return update

    def failures_count(verdict: Any, *a: Any, **options: Any) -> Any:
        update = ended(verdict, *a, **options)
        if verdict.error is not None:
            update["$inc"][fields.ATTEMPTS] = 1
        return update

    patch.setattr(updates, "claimed", claims_free)
    patch.setattr(updates, "ended", failures_count)


def versions_not_compared(patch: pytest.MonkeyPatch) -> None:
    from mongoq.storage.operations.modify import conflicts  # noqa: PLC0415 -- only here

    patch.setattr(conflicts, "_gone", lambda document, role, ref: "gone" if document is None else None)
    patch.setattr(filters, "unchanged", lambda refs, now: filters.by_keys([ref.key for ref in refs]))


def repetition_not_recognised(patch: pytest.MonkeyPatch) -> None:
    def never(context: Context, plan: Any) -> Iterator[Any]:
        yield from ()

    patch.setattr(apply, "_made_before", never)


def renewal_is_a_version(patch: pytest.MonkeyPatch) -> None:
    renewed = updates.renewed
    patch.setattr(updates, "renewed", lambda *a: {**renewed(*a), "$inc": {fields.VERSION: 1}})


def rescued_too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(filters, "SKEW", timedelta(0))


def depends_as_reads(patch: pytest.MonkeyPatch) -> None:
    # Matched and answered as a write is, but it writes nothing.
    patch.setattr(updates, "depended", lambda: {"$setOnInsert": {fields.DEPENDED: 1}})


def lost_leases_not_told(patch: pytest.MonkeyPatch) -> None:
    def none_lost(context: Context, endings: Any) -> Generator[Any, Any, list[Any]]:
        yield from ()
        return []

    patch.setattr(finish, "lost_endings", none_lost)


def count_not_fresh(patch: pytest.MonkeyPatch) -> None:
    rerun = updates.rerun

    def counting_on(*a: Any, **options: Any) -> Any:
        update = rerun(*a, **options)
        del update[0]["$set"][fields.UNCHARGED]
        return update

    patch.setattr(updates, "rerun", counting_on)


FAULTS = [
    no_fence, attempts_counted_at_failure, versions_not_compared, repetition_not_recognised, renewal_is_a_version,
    rescued_too_early, depends_as_reads, lost_leases_not_told, count_not_fresh,
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_the_machine_sees_a_fault(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None]
) -> None:
    fault(monkeypatch)
    with pytest.raises(DiffersError):
        prove(server.uri, 60, 60)
