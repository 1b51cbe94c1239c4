"""`mongoq.contrib.fastapi`, by the shop of `examples/fastapi_shop.py`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mongoq import AsyncQueue, ConfigurationError, Queue

pytest.importorskip("fastapi")
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from mongoq.contrib import fastapi as contrib


@pytest.fixture
def shop(example: Callable[[str], Any]) -> Any:
    return example("fastapi_shop")


@pytest.fixture
def client(shop: Any, request: pytest.FixtureRequest) -> Iterator[TestClient]:
    with TestClient(shop.make_app(worker=getattr(request, "param", False))) as client:
        yield client


@pytest.fixture
def looking(database_uri: str) -> Iterator[Queue]:
    with Queue(database_uri, namespace="tasks") as queue:
        yield queue


def told(text: str) -> list[tuple[str, Any]]:
    """The events of a stream, with what their data says."""
    parts = [part.split("\n") for part in text.split("\n\n") if part.startswith("event:")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: ") or "{}")) for name, data in parts]


@pytest.mark.parametrize("client", [True], indirect=True)
def test_an_order_and_its_task_commit_together_and_the_page_sees_the_end(client: TestClient, looking: Queue) -> None:
    placed = client.post("/orders", json={"number": 7, "article": "pen", "count": 2})
    assert placed.status_code == 202
    key = placed.json()["task"]

    events = told(client.get(f"/tasks/{key}/events?token=letmein").text)

    assert [name for name, _ in events][-1] == "end"
    assert events[-1][1] == {
        "key": key, "name": "fulfil", "state": "completed", "progress": 1.0, "message": "done", "result": "parcel 7",
    }  # fmt: skip
    assert client.get(f"/tasks/{key}?token=letmein").json() == events[-1][1]
    assert looking.join(timeout=30)
    assert [task.result for task in looking.tasks(queue="mail")] == ["order 7: on its way"]


def test_the_first_order_of_a_new_database_may_write_before_it_enqueues(client: TestClient) -> None:
    assert client.post("/orders", json={"number": 1, "article": "pen", "count": 1}).status_code == 202
    assert client.post("/orders", json={"number": 2, "article": "pen", "count": 0}).status_code == 422


def test_an_endpoint_that_raises_leaves_neither_order_nor_task(client: TestClient, shop: Any, looking: Queue) -> None:
    refused = client.post("/orders", json={"number": 8, "article": "sold out", "count": 1})

    assert (refused.status_code, refused.json()["detail"]) == (409, "neither the order nor the task is there")
    assert looking.count() == 0
    orders = looking._base.driver.connection.database.client.get_default_database()["orders"]
    assert orders.count_documents({}) == 0


def test_a_task_that_waits_is_told_at_once_and_one_that_goes_is_gone(
    client: TestClient, looking: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contrib, "LONGEST_STREAM", 0.0)
    task = looking.new({"number": 1}, name="fulfil")
    ((name, status),) = told(client.get(f"/tasks/{task.key}/events?token=letmein").text)
    assert (name, status["state"], status["progress"]) == ("progress", "ready", None)
    looking.delete(task.key)
    assert client.get(f"/tasks/{task.key}/events?token=letmein").status_code == 404


def test_a_task_that_is_deleted_while_somebody_looks_is_told_as_gone(database_uri: str) -> None:
    async def events() -> list[str]:
        async with AsyncQueue(database_uri, namespace="tasks") as queue:
            task = await queue.new({})
            stream = contrib._told(queue, task, result=False)
            first = [await anext(stream), await anext(stream)]
            await queue.delete(task.key)
            return [*first, *[event async for event in stream]]

    assert [event.split("\n")[0] for event in asyncio.run(events())] == [
        "retry: 1000",
        "event: progress",
        "event: gone",
    ]


def test_a_status_is_shown_to_those_who_may_look_and_tells_no_arguments(client: TestClient, looking: Queue) -> None:
    task = looking.new({"number": 1, "card": "4242"}, name="fulfil")
    assert client.get(f"/tasks/{task.key}").status_code == 403
    assert client.get("/tasks/nobody?token=letmein").status_code == 404
    assert "4242" not in client.get(f"/tasks/{task.key}?token=letmein").text
    assert task.key in client.get(f"/orders/{task.key}").text


def test_what_is_missing_is_named() -> None:
    app = FastAPI()
    app.include_router(contrib.status_router())
    with pytest.raises(ConfigurationError, match=r"lifespan=lifespan\(queue\)"):
        TestClient(app).get("/7")
    with pytest.raises(ConfigurationError, match="an AsyncQueue"):
        contrib.lifespan(APIRouter())  # type: ignore[arg-type]
