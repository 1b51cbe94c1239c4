"""Pages of tasks: each task once, in order, and no more documents read than rows shown, by the server's profiler."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from pymongo import MongoClient

from mongoq import ConfigurationError, Queue, TaskState
from mongoq.embedded.server import EmbeddedServer
from mongoq.storage.documents import indexes
from mongoq.storage.operations.looking import pages

NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)
EACH: Final = 600
QUEUES: Final = 30
FINAL: Final = ("completed", "failed", "cancelled", "expired")


def document(state: str, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "_id": f"{state}-{number:05d}",
        "queue": f"q{number % QUEUES}",
        "state": state,
        "priority": number % 3,
        "run_at": NOW - timedelta(milliseconds=number // 7),
        "created_at": NOW - timedelta(seconds=number),
        "tags": {"n": number % 50},
        "version": 1,
        "name": f"f{number % 2}",
    }
    if state in FINAL:
        made["finished_at"] = NOW - timedelta(milliseconds=number // 7)
    if state == "running":
        made["hold"] = {"until": NOW + timedelta(milliseconds=number // 7), "worker": "w", "token": "t"}
    if state == "failed":
        made["last_error"] = {"type": "KeyError" if number % 5 else "OSError", "message": "", "at": NOW, "attempt": 1}
    return made


class Look:
    """A queue whose tasks are known, and what the server read for its calls."""

    def __init__(self, server: EmbeddedServer, queue: Queue) -> None:
        self.queue = queue
        self.client: MongoClient[dict[str, Any]] = MongoClient(server.uri, tz_aware=True)
        self.database = self.client["mongoq"]
        self.tasks = self.database[f"{queue.namespace}.tasks"]
        queue.init()
        states = ("ready", "scheduled", "running", *FINAL, "parked")
        self.documents = [document(state, number) for state in states for number in range(EACH)]
        self.tasks.insert_many(self.documents)

    def all_pages(self, limit: int = 50, **chosen: Any) -> list[str]:
        keys, after = [], None
        while True:
            page = self.queue.page(after=after, limit=limit, **chosen)
            keys += [task.key for task in page.tasks]
            after = page.after
            if after is None:
                return keys

    def read_for(self, **chosen: Any) -> tuple[int, int]:
        """How many documents the server read for one page, and how many rows came."""
        self.database.command("profile", 2)
        try:
            rows = len(self.queue.page(**chosen).tasks)
        finally:
            self.database.command("profile", 0)
        found = list(self.database["system.profile"].find({"ns": self.tasks.full_name}))
        self.database["system.profile"].drop()
        assert found
        assert not [one for one in found if one.get("hasSortStage") and one["docsExamined"]]
        return sum(one.get("docsExamined", 0) for one in found), rows


@pytest.fixture(scope="module")
def look(server: EmbeddedServer) -> Iterator[Look]:
    with Queue(server.uri, namespace=f"t-{secrets.token_hex(4)}") as queue:
        look = Look(server, queue)
        yield look
        look.client.close()


def chosen_by(look: Look, **values: Any) -> set[str]:
    return {one["_id"] for one in look.documents if all(one.get(name) == value for name, value in values.items())}


@pytest.mark.parametrize("limit", [47, 150])
@pytest.mark.parametrize("state", [state for state in TaskState if state is not TaskState.PARKED])
def test_every_task_of_a_state_comes_once(look: Look, state: TaskState, limit: int) -> None:
    found = look.all_pages(limit, state=state)
    assert len(found) == len(set(found)) == EACH
    assert set(found) == chosen_by(look, state=state.value)


@pytest.mark.parametrize("limit", [29, 150])
def test_every_task_of_a_queue_comes_once_state_by_state(look: Look, limit: int) -> None:
    found = look.all_pages(limit, queue="q3")
    assert len(found) == len(set(found))
    assert set(found) == chosen_by(look, queue="q3") - chosen_by(look, state="parked")
    assert [key.partition("-")[0] for key in found[:: EACH // QUEUES]] == [
        "running", "ready", "scheduled", "failed", "expired", "cancelled", "completed",
    ]  # fmt: skip


def test_without_a_filter_the_newest_keys_come_first(look: Look) -> None:
    assert look.all_pages(150) == sorted((one["_id"] for one in look.documents), reverse=True)
    assert look.all_pages(prefix="failed-0010") == [f"failed-0010{number}" for number in range(9, -1, -1)]


def test_finished_tasks_of_all_queues_come_newest_first(look: Look) -> None:
    at = {one["_id"]: one.get("finished_at") for one in look.documents}
    times: list[Any] = [at[key] for key in look.all_pages(40, state="failed")]
    assert times == sorted(times, reverse=True)
    some = look.all_pages(state="failed", since=NOW - timedelta(milliseconds=20), until=NOW)
    assert set(some) == {key for key in at if key.startswith("failed-") and 6 < int(key[7:]) < 147}


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"prefix": "failed-00"},
        {"queue": "q3"},
        *({"state": state} for state in TaskState if state is not TaskState.PARKED),
        *({"queue": "q3", "state": state} for state in ("ready", "scheduled", "running", "failed", "completed")),
        {"state": "failed", "since": NOW - timedelta(milliseconds=20)},
        {"queue": "q3", "state": "failed", "until": NOW - timedelta(milliseconds=20)},
    ],
    ids=str,
)
def test_a_page_reads_no_more_than_twice_the_rows_that_it_shows(look: Look, chosen: dict[str, Any]) -> None:
    read, rows = look.read_for(limit=15, **chosen)
    assert rows
    assert read <= 2 * rows


@pytest.mark.parametrize(
    "chosen",
    [
        {"name": "f1"},
        {"where": {"n": 7}},
        {"state": "failed", "error": "OSError"},
        {"queue": "q3", "error": "OSError"},
        {"state": "ready", "name": "f0"},
        {"state": "running", "where": {"n": 3}},
        {"state": "parked"},
        {"state": "parked", "queue": "q3"},
        {"state": "scheduled", "since": NOW - timedelta(seconds=100)},
        {"prefix": "ready-", "name": "f0"},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [200, 10_000])
def test_a_search_finds_each_task_once_and_says_how_many_it_looked_at(
    look: Look, chosen: dict[str, Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SLICE", size)
    wanted = {name: value for name, value in chosen.items() if name in ("state", "queue", "name")}
    expected = chosen_by(look, **wanted)
    by_key = {one["_id"]: one for one in look.documents}
    if "where" in chosen:
        expected = {key for key in expected if by_key[key]["tags"]["n"] == chosen["where"]["n"]}
    if "error" in chosen:
        expected = {key for key in expected if by_key[key].get("last_error", {}).get("type") == chosen["error"]}
    if "since" in chosen:
        expected = {key for key in expected if by_key[key]["created_at"] >= chosen["since"]}
    expected = {key for key in expected if key.startswith(chosen.get("prefix", ""))}
    found = look.all_pages(53, **chosen)
    assert len(found) == len(set(found))
    assert set(found) == expected
    assert look.queue.page(limit=3, **chosen).searched
    assert look.read_for(limit=3, **chosen)[0] <= size + 50


@pytest.fixture
def named(look: Look) -> Iterator[Look]:
    """Give the tasks with the index of claims by name, which the first task with a name builds."""
    keys, options = indexes.NAMED[indexes.CLAIM_NAME]
    look.tasks.create_index(keys, name=indexes.CLAIM_NAME, **options)
    yield look
    look.tasks.drop_index(indexes.CLAIM_NAME)


@pytest.mark.parametrize("chosen", [{"name": "f1"}, {"name": "f1", "queue": "q3"}], ids=str)
def test_ready_tasks_of_a_name_are_read_along_their_index(named: Look, chosen: dict[str, Any]) -> None:
    for old, number in (("f1", 3), ("f0", 4)):
        other = {"f1": "f1@2", "f0": "f1-0"}[old]
        assert named.tasks.update_many(
            {"state": "ready", "name": old, "tags.n": number}, {"$set": {"name": other}}
        ).modified_count
    found = named.all_pages(7, state="ready", **chosen)
    assert named.all_pages(7, state="ready", name="f1@2")
    named.tasks.update_many({"name": "f1@2"}, {"$set": {"name": "f1"}})
    named.tasks.update_many({"name": "f1-0"}, {"$set": {"name": "f0"}})
    assert len(found) == len(set(found))
    assert set(found) == chosen_by(named, state="ready", **chosen)
    assert named.queue.page(state="ready", **chosen).searched is None
    first = named.queue.page(state="ready", limit=5, **chosen).after
    for after in (None, first):
        read, rows = named.read_for(limit=5, state="ready", after=after, **chosen)
        assert 5 == rows <= read <= 10


def test_wrong_arguments_are_refused(look: Look) -> None:
    with pytest.raises(ConfigurationError, match=r"after.*`after` of the page before"):
        look.queue.page(after="nonsense")
    with pytest.raises(ConfigurationError, match=r"limit"):
        look.queue.page(limit=151)
    with pytest.raises(ConfigurationError, match=r"prefix"):
        look.queue.page(prefix="a", state="ready")
