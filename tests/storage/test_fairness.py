"""Claims that heed those who wait, on a server: by an index, for workers with and without names."""

from __future__ import annotations

from collections.abc import Callable

from mongoq import NewTask
from mongoq.core.requests import ClaimRequest
from mongoq.storage.operations import schema
from mongoq.storage.operations.claiming.many import claim_many
from tests.storage.conftest import Store


def crowd(store: Store) -> None:
    store.run(schema.ensure(store.context, named=True))
    for number in range(4):
        store.new(key=f"old-{number}", name="f" if number % 2 else None)
        store.clock.advance(1)
    store.new_many([NewTask(priority=1 + n % 3, name="f") for n in range(40)])


def test_a_batch_holds_the_oldest_for_its_share(make_store: Callable[..., Store]) -> None:
    store = make_store(fair_share=0.2)
    crowd(store)
    taken = [task.key for task in store.claim(20)]
    assert taken[:3] == ["old-0", "old-1", "old-2"] or len([key for key in taken if key[:3] == "old"]) == 4
    assert len(set(taken)) == 20


def test_claims_by_name_give_the_share_to_the_oldest_of_their_names(make_store: Callable[..., Store]) -> None:
    store = make_store(fair_share=0.5)
    crowd(store)
    wanted = ClaimRequest(("default",), "w", 8, names=("f",))
    taken = store.run(claim_many(store.context, wanted, poison_budget=16)).tasks
    assert [task.key for task in taken][:2] == ["old-1", "old-3"]
    assert len(taken) == 8


def test_a_task_that_waits_rises_over_the_priorities_of_later_ones(make_store: Callable[..., Store]) -> None:
    store = make_store(aging=10)
    crowd(store)
    store.clock.advance(10)
    store.new_many([NewTask(priority=1) for _ in range(40)])
    store.clock.advance(26)
    taken = [task.key for task in store.claim(44)]
    assert taken[:4] != ["old-0", "old-1", "old-2", "old-3"], "they rose by three levels, the others by two"
    assert set(taken) >= {"old-0", "old-1", "old-2", "old-3"}
