"""Claims that ask for names: they cost the same however many tasks of other names are ready, and keep the order."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from mongoq.core.errors import IndexMissing
from mongoq.core.judging.verdict import MOST_POISON_WEIGHT
from mongoq.core.requests import ClaimRequest
from mongoq.core.tasks.new_task import NewTask
from mongoq.storage.commands import Find
from mongoq.storage.operations import queries, schema
from mongoq.storage.operations.claiming.first import claim_first
from mongoq.storage.operations.claiming.many import claim_many
from mongoq.storage.operations.claiming.mixture import Mixture
from mongoq.storage.operations.namespace import due

OTHERS = 100_000


def claim(store: Any, names: tuple[str, ...], limit: int = 1, queues: tuple[str, ...] = ("default",)) -> list[Any]:
    wanted = ClaimRequest(queues, "w", limit, names=names)
    found: list[Any] = store.run(claim_many(store.context, wanted, poison_budget=MOST_POISON_WEIGHT)).tasks
    return found


@pytest.fixture
def named(store: Any) -> Any:
    store.run(schema.ensure(store.context, named=True))
    return store


def explained(store: Any, names: tuple[str, ...], limit: int) -> dict[str, Any]:
    """What the server did for the very command that a claim begins with."""
    wanted = ClaimRequest(("default",), "w", limit, names=names)
    command: Any = next(claim_many(store.context, wanted, poison_budget=16))
    asked = {"find": command.collection, "filter": command.where, "sort": dict(command.sort), "hint": command.hint}
    told: dict[str, Any] = store.connection.database.command(
        "explain", {**asked, "limit": limit}, verbosity="executionStats"
    )
    return told


def test_ready_tasks_of_other_names_cost_a_claim_nothing(named: Any) -> None:
    now = named.clock.now()
    for start in range(0, OTHERS, 10_000):
        named.collection.insert_many(
            [
                {"_id": f"{n}", "queue": "default", "state": "ready", "priority": 9, "run_at": now, "version": 1}
                | ({"name": f"unknown-{n % 7}"} if n % 2 else {})
                for n in range(start, start + 10_000)
            ],
            ordered=False,
        )
    named.new_many([NewTask({"n": n}, name=f"known-{n % 50}", priority=n % 3) for n in range(1_000)])

    for names in (("known-1",), tuple(f"known-{n}" for n in range(50)), ("known-1", "nobody")):
        for limit in (1, 10):
            told = explained(named, names, limit)
            stats = told["executionStats"]

            assert stats["nReturned"] == stats["totalDocsExamined"] == limit
            assert stats["totalKeysExamined"] <= limit + len(names)
            assert "'SORT'" not in str(told["queryPlanner"]["winningPlan"])
    nothing = explained(named, ("nobody",), 400)["executionStats"]
    assert nothing["totalDocsExamined"] == 0
    assert nothing["totalKeysExamined"] <= 1


def test_a_claim_takes_only_tasks_of_its_names_the_most_urgent_first(named: Any) -> None:
    named.new(key="other", name="other", priority=9)
    named.new(key="nameless", priority=9)
    named.new(key="a", name="a", priority=1)
    named.new(key="b", name="b", priority=2)
    named.new(key="elsewhere", name="a", queue="elsewhere")

    assert [task.key for task in claim(named, ("a", "b"), 10)] == ["b", "a"]
    assert [task.key for task in claim(named, ("a", "b"), 10)] == []
    assert claim(named, ("a",), 10, ("default", "elsewhere"))[0].key == "elsewhere"


def test_one_task_is_claimed_by_name_in_one_step(named: Any) -> None:
    named.new(key="other", name="other", priority=9)
    named.new(key="mine", name="a")
    wanted = ClaimRequest(("default",), "w", names=("a",))

    first = named.run(claim_first(named.context, wanted)).tasks
    assert [task.key for task in first] == ["mine"]
    assert named.run(claim_first(named.context, wanted)).tasks == []


def test_more_names_than_one_find_may_ask_for_keep_the_order(named: Any) -> None:
    names = tuple(f"name-{n}" for n in range(450))
    named.new_many([NewTask(key=f"{n}", name=name, priority=n % 10) for n, name in enumerate(names)])
    wanted = ClaimRequest(("default", "other"), "w", 45, names=names)

    assert [len(part) for part in wanted.parts] == [100, 100, 100, 100, 50]
    claimed = named.run(claim_many(named.context, wanted, poison_budget=16)).tasks
    assert {task.priority for task in claimed} == {9}
    assert len(claimed) == 45
    one = named.run(claim_first(named.context, wanted)).tasks
    assert [task.priority for task in one] == [8]


def test_what_is_ready_and_due_is_found_by_name(named: Any) -> None:
    then = named.clock.now()
    named.new(name="a", delay=60)
    named.new(name="other")
    named.new()

    def left(name: str, by: datetime) -> bool:
        return bool(named.run(due.left(named.context, ["default"], None, [name], by)))

    assert not left("a", then)
    assert left("other", then)
    named.clock.advance(61)
    assert left("a", named.clock.now())
    assert not left("a", then)
    assert not left("nobody", named.clock.now())
    named.new(name="a")

    assert named.run(queries.ready(named.context, ["default"], None, ["a"]))
    assert not named.run(queries.ready(named.context, ["default"], None, ["nobody"]))


def test_a_namespace_without_names_has_no_index_for_them(store: Any) -> None:
    store.run(schema.ensure(store.context))
    store.new()
    assert "claim_name" not in store.collection.index_information()
    with pytest.raises(IndexMissing):
        claim(store, ("a",))
    store.new(name="a")
    assert [name.rpartition(".")[2] for name in store.run(schema.init(store.context))] == ["claim_name"]
    assert len(claim(store, ("a",))) == 1


def test_a_document_with_an_odd_name_is_set_aside_and_stops_nobody(named: Any) -> None:
    now = named.clock.now() - timedelta(seconds=1)
    for key, name in (("number", 3), ("list", ["a"]), ("document", {"a": 1})):
        document = {"_id": key, "queue": "default", "state": "ready", "priority": 9, "run_at": now, "version": 1}
        named.collection.insert_one({**document, "name": name})
    named.new(key="mine", name="a")

    assert [task.key for task in claim(named, ("a",), 10)] == ["mine"]
    assert named.claim(10) == []
    assert {key: named.get(key).note for key in ("number", "list", "document")} == dict.fromkeys(
        ("number", "list", "document"), "not a task: the field name is missing or of a wrong type"
    )


def test_many_names_are_looked_for_among_all_while_nearly_all_are_known(named: Any) -> None:
    names = tuple(f"name-{n}" for n in range(5))
    mixture = Mixture(names)
    wanted = ClaimRequest(("default",), "w", 100, names=names)
    hints: list[str | None] = []

    def claimed() -> list[Any]:
        found: list[Any] = named.run(noting(claim_many(named.context, wanted, poison_budget=16, mixture=mixture)))
        return found

    def noting(op: Any) -> Any:
        reply = None
        while True:
            try:
                command = op.send(reply)
            except StopIteration as done:
                return done.value.tasks
            if isinstance(command, Find) and command.limit:
                hints.append(command.hint)
            reply = yield command

    named.new_many([NewTask(name=names[n % 5]) for n in range(300)])
    assert len(claimed()) == len(claimed()) == 100
    assert hints == ["claim_name", "claim"]
    named.new_many([NewTask(name="foreign", priority=1) for _ in range(20)])
    assert {task.name for task in claimed()} <= set(names)
    assert hints[2:] == ["claim", "claim_name"], "too many are foreign: it finds its own by their names"
    named.new_many([NewTask(name=names[n % 5]) for n in range(300)])
    assert len(claimed()) == 100
    assert hints[4:] == ["claim_name"], "and leaves a scan of all alone for a while"


def test_what_is_foreign_never_hides_what_is_known(named: Any) -> None:
    names = tuple(f"name-{n}" for n in range(5))
    mixture = Mixture(names)
    mixture.deep = True
    named.new_many([NewTask(name="foreign", priority=1) for _ in range(200)])
    named.new_many([NewTask(name=names[n]) for n in range(5)])
    wanted = ClaimRequest(("default",), "w", 100, names=names)

    claim = named.run(claim_many(named.context, wanted, poison_budget=16, mixture=mixture))
    assert {task.name for task in claim.tasks} == set(names)
