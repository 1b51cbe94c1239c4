"""`mongoq.contrib.flask`, by the shop of `examples/flask_shop.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mongoq import ConfigurationError, Tasks

pytest.importorskip("flask")
from flask import Flask

from mongoq.contrib.flask import get_queue, init_app


@pytest.fixture
def app(example: Callable[[str], Any]) -> Iterator[Flask]:
    app: Flask = example("flask_shop").create_app()
    yield app
    app.extensions["mongoq"].close()


def test_an_order_and_its_task_commit_together_and_tasks_run_in_the_application(app: Flask) -> None:
    client = app.test_client()
    placed = client.post("/orders", json={"number": 7, "article": "pen"})
    assert placed.status_code == 202
    where = f"/tasks/{placed.get_json()['task']}"
    assert client.get(where).get_json() == {"state": "ready", "progress": None, "result": None}

    ran = app.test_cli_runner().invoke(args=["mongoq", "worker", "--burst", "--workers", "1"])

    assert ran.exit_code == 0, ran.output
    assert client.get(where).get_json() == {"state": "completed", "progress": 0.5, "result": "parcel 7"}
    with app.app_context():
        (mailed,) = get_queue().tasks(queue="mail")
    assert mailed.result == "pens and ink: order 7 is on its way"


def test_a_view_that_aborts_leaves_neither_order_nor_task(app: Flask) -> None:
    assert app.test_client().post("/orders", json={"number": 8, "article": "sold out"}).status_code == 409
    assert app.test_client().get("/tasks/nobody").status_code == 404
    with app.app_context():
        assert get_queue().count() == 0
        database = get_queue()._base.driver.connection.database.client.get_default_database()
        assert database["orders"].count_documents({}) == 0


def test_what_is_missing_or_wrong_is_named(app: Flask, database_uri: str) -> None:
    with pytest.raises(ConfigurationError, match="init_app was called before"):
        init_app(app)
    bare = Flask("bare")
    with bare.app_context(), pytest.raises(ConfigurationError, match=r"init_app\(app, tasks\)"):
        get_queue()
    bare.config.update(MONGOQ_URI=database_uri, MONGOQ_OPTIONS={"namespac": "tasks"})
    with pytest.raises(TypeError, match="did you mean 'namespace'"):
        init_app(bare, Tasks())
    ran = app.test_cli_runner().invoke(args=["mongoq", "worker", "--workers", "0"])
    assert ran.exit_code == 2
    assert "workers" in ran.output
