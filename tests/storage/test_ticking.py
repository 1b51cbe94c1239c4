"""Ticks of schedules: exactly one task for each, whoever tries, and whatever dies or freezes between its steps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import pytest

from mongoq import NewTask, TaskState
from mongoq.core.judging.verdict import Returned
from mongoq.scheduling.given import Given
from mongoq.scheduling.schedule import Schedule
from mongoq.storage.operations.schedules import keep
from mongoq.storage.operations.schedules.tick import tick
from mongoq.storage.operations.sweep import Swept
from tests.storage.conftest import Store
from tests.storage.meddling import Meddler, killed_at

T = TypeVar("T")
MINUTE: Final = timedelta(minutes=1)
START: Final = datetime(2030, 1, 1, tzinfo=UTC)
"""Where the clocks of stores stand."""


def schedule(store: Store, name: str = "nightly", cron: str = "* * * * *", **options: Any) -> Schedule:
    given = {"task": NewTask({"n": 1}), **options}
    cron_given: dict[str, Any] = {} if "every" in options else {"cron": cron}
    written: Schedule = store.run(keep.put(store.context, Given(name, **cron_given, **given).checked()))
    return written


def swept(store: Store) -> Swept:
    """Tick until nothing is due any more."""
    moved = 0
    while (done := store.run(tick(store.context))).full:
        moved += done.moved
    return Swept(moved + done.moved, done.next)


def keys(store: Store) -> list[str]:
    return [task.key for task in store.list()]


def drafts(store: Store) -> int:
    """How many tasks of ticks are there that were not launched."""
    count: int = store.collection.count_documents({"launch": {"$exists": True}})
    return count


def test_a_tick_enqueues_its_task_once_it_is_due(store: Store) -> None:
    schedule(store, task=NewTask({"n": 1}, queue="reports", priority=4, max_retries=2))
    assert swept(store) == Swept(0, MINUTE)
    store.clock.advance(60)
    assert swept(store) == Swept(1, MINUTE)
    (task,) = store.list()
    assert (task.key, task.queue, task.priority) == ("cron:nightly:20300101T000100Z", "reports", 4)
    assert (task.state, task.tags, task.policy["max_retries"]) == (TaskState.READY, {"n": 1}, 2)
    (known,) = store.run(keep.listed(store.context))
    assert (known.last_at, known.last_key, known.next_at) == (START + MINUTE, task.key, START + 2 * MINUTE)


def test_a_namespace_without_schedules_is_looked_at_by_one_find(store: Store) -> None:
    looks = Meddler(lambda _: None)
    assert store.run(looks(tick(store.context))) == Swept(0, None)
    assert looks.count == 1
    schedule(store)
    looks = Meddler(lambda _: None)
    assert store.run(looks(tick(store.context))).next == MINUTE
    assert looks.count == 1


def test_a_tick_is_skipped_while_the_last_run_still_goes(store: Store) -> None:
    schedule(store)
    for _ in range(3):
        store.clock.advance(60)
        swept(store)
    assert len(keys(store)) == 1
    (task,) = store.claim()
    store.clock.advance(60)
    assert swept(store).moved == 0, "it runs"
    store.end(task, Returned(None))
    store.clock.advance(60)
    assert swept(store).moved == 1
    (known,) = store.run(keep.listed(store.context))
    assert (known.skipped, known.last_key) == (3, "cron:nightly:20300101T000500Z")


def test_a_tick_is_enqueued_beside_the_last_one_where_the_schedule_says_so(store: Store) -> None:
    schedule(store, overlap="queue")
    for _ in range(3):
        store.clock.advance(60)
        swept(store)
    assert len(keys(store)) == 3


@pytest.mark.parametrize("catch_up, enqueued", [("latest", 1), ("all", 240), (timedelta(minutes=30), 31)])
def test_ticks_that_no_worker_was_there_for_are_caught_up(
    store: Store, catch_up: str | timedelta, enqueued: int
) -> None:
    schedule(store, catch_up=catch_up)
    store.clock.advance(240 * 60)
    assert swept(store) == Swept(enqueued, MINUTE)
    assert store.run(keep.listed(store.context))[0].last_at == START + timedelta(hours=4)


def test_the_task_of_a_tick_with_jitter_is_due_a_little_later(store: Store) -> None:
    schedule(store, "nightly", "0 3 * * *", jitter=600)
    store.clock.advance(3 * 3600)
    swept(store)
    (task,) = store.list()
    assert task.state is TaskState.SCHEDULED
    assert timedelta(0) < task.run_at - (START + timedelta(hours=3)) < timedelta(minutes=10)


def test_tasks_carry_the_policy_and_the_age_of_the_queue_that_defined_their_schedule(
    make_store: Callable[..., Store],
) -> None:
    store = make_store(max_retries=7, max_age=3600)
    schedule(store, task=NewTask(max_retries=2))
    schedule(store, "other")
    store.clock.advance(60)
    swept(store)
    nightly, other = store.list()
    assert (nightly.policy["max_retries"], other.policy["max_retries"]) == (2, 7)
    assert nightly.expires_at == START + timedelta(seconds=60 + 3600)


def test_a_tick_survives_a_kill_at_every_command(make_store: Callable[..., Store]) -> None:
    for after in range(1, 50):
        store = make_store()
        for name in ("one", "two"):
            schedule(store, name)
        store.clock.advance(60)

        if killed_at(store, after, tick(store.context)):
            assert swept(store).next == MINUTE
            assert keys(store) == ["cron:one:20300101T000100Z", "cron:two:20300101T000100Z"]
            assert drafts(store) == 0
            assert [known.next_at for known in store.run(keep.listed(store.context))] == [START + 2 * MINUTE] * 2
        else:
            assert after > 4
            return


def test_a_process_that_froze_at_any_command_enqueues_no_tick_again_though_its_task_has_gone(store: Store) -> None:
    for after in range(1, 50):
        schedule(store, name := f"nightly-{after}")
        store.clock.advance(60)
        first: list[str] = []

        def thaw(count: int, after: int = after, first: list[str] = first) -> None:
            if count == after and not first:
                swept(store)
                first += keys(store)
                store.collection.delete_many({})

        freezing = Meddler(thaw)
        store.run(freezing(tick(store.context)))
        swept(store)
        if freezing.count < after:
            return
        own = [key for key in first if f":{name}:" in key]
        again = [key for key in keys(store) if f":{name}:" in key]
        assert (len(own), again, drafts(store)) == (1, [], 0), f"frozen before command {after}"
        store.collection.delete_many({})


def test_many_processes_that_race_enqueue_each_tick_once(make_store: Callable[..., Store]) -> None:
    store = make_store()
    for place in range(120):
        schedule(store, f"s{place:03}", overlap="queue")
    moved: list[int] = []
    for _ in range(3):
        store.clock.advance(60)
        racers = [threading.Thread(target=lambda: moved.append(swept(store).moved)) for _ in range(6)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        swept(store)
    assert store.collection.count_documents({}) == 360
    assert sum(moved) <= 360
    assert {known.next_at for known in store.run(keep.listed(store.context))} == {START + 4 * MINUTE}


def test_a_paused_schedule_ticks_no_more_and_catches_nothing_up(store: Store) -> None:
    schedule(store)
    paused = store.run(keep.pause(store.context, "nightly", "op", "deploy"))
    assert (paused.paused, paused.paused_by, paused.reason, paused.next_at) == (True, "op", "deploy", None)
    store.clock.advance(600)
    assert swept(store) == Swept(0, None)
    resumed = store.run(keep.resume(store.context, "nightly"))
    assert (resumed.paused, resumed.next_at) == (False, START + 11 * MINUTE)
    assert keys(store) == []


def test_a_schedule_that_is_written_again_unchanged_keeps_the_tick_that_is_due(store: Store) -> None:
    before = schedule(store, every=60)
    store.clock.advance(90)
    assert schedule(store, every=60) == before
    assert schedule(store, every=60, task=NewTask({"n": 2})).next_at == START + MINUTE
    assert schedule(store, every=120).next_at == START + timedelta(seconds=90 + 120)


def test_what_the_code_says_does_not_undo_an_edit_until_it_says_something_else(store: Store) -> None:
    def declared(cron: str) -> Schedule:
        store.run(keep.declare(store.context, [Given("digest", cron, NewTask(name="digest")).checked()]))
        known: Schedule = store.run(keep.get(store.context, "digest"))
        return known

    assert declared("0 3 * * *").from_code
    store.run(keep.put(store.context, Given("digest", "0 4 * * *").checked()))
    store.run(keep.pause(store.context, "digest", "op", None))
    edited = declared("0 3 * * *")
    assert (edited.cron, edited.paused) == ("0 4 * * *", True)
    changed = declared("0 5 * * *")
    assert (changed.cron, changed.paused, changed.next_at) == ("0 5 * * *", True, None)


def test_a_deleted_schedule_of_the_code_stays_deleted_until_the_code_says_something_else(store: Store) -> None:
    def declare(cron: str) -> list[str]:
        store.run(keep.declare(store.context, [Given("digest", cron, NewTask(name="digest")).checked()]))
        return [known.name for known in store.run(keep.listed(store.context))]

    assert declare("* * * * *") == ["digest"]
    store.run(keep.delete(store.context, "digest"))
    assert declare("* * * * *") == []
    store.clock.advance(600)
    assert swept(store) == Swept(0, None)
    assert declare("*/2 * * * *") == ["digest"]
    assert store.run(keep.get(store.context, "digest")).next_at == START + 12 * MINUTE


def test_a_document_that_is_no_schedule_keeps_no_other_from_its_tick(store: Store) -> None:
    schedule(store)
    others = store.connection.database[store.context.schedules]
    known = others.find_one({"_id": "nightly"})
    assert known is not None
    broken: list[dict[str, Any]] = [{"cron": "no"}, {"tz": "Mars"}, {"task": 7}, {"catch_up": None}, {"every": "x"}]
    for place, wrong in enumerate(broken):
        others.insert_one({**known, **wrong, "_id": f"bad-{place}"})
    store.clock.advance(60)
    assert swept(store).moved == 1
    assert keys(store) == ["cron:nightly:20300101T000100Z"]
    noted = others.find_one({"_id": "bad-0"})
    assert noted is not None
    assert "cannot be read" in noted["refusal"]


def test_a_tick_whose_key_is_taken_is_enqueued_no_second_time(store: Store) -> None:
    schedule(store)
    store.new(key="cron:nightly:20300101T000100Z")
    store.clock.advance(60)
    assert swept(store) == Swept(0, MINUTE)
    assert len(keys(store)) == 1
