"""A shop with Flask: an order and its task commit together, and a view tells how far the order is.

In this folder, with `MONGOQ_URI=mongodb://localhost/shop?replicaSet=rs0`:

    flask --app flask_shop run
    flask --app flask_shop mongoq worker
"""

from __future__ import annotations

from typing import Any

from flask import Flask, abort, current_app, request

from mongoq import Attempt, Done, TaskNotFound, Tasks
from mongoq.contrib.flask import get_queue, init_app, transaction

tasks = Tasks()


@tasks.task(max_retries=5)
def fulfil(attempt: Attempt, number: int) -> Done[str]:
    attempt.progress(0.5, "packing")
    return Done(f"parcel {number}", then=[mail.call(number)])


@tasks.task(queue="mail")
def mail(number: int) -> str:
    return f"{current_app.config['SHOP']}: order {number} is on its way"


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.update(SHOP="pens and ink", MONGOQ_OPTIONS={"namespace": "tasks"})
    init_app(app, tasks)
    app.post("/orders")(place_order)
    app.get("/tasks/<key>")(status)
    return app


def place_order() -> tuple[dict[str, str], int]:
    order = request.get_json()
    with transaction() as session:
        session.client.get_default_database("shop")["orders"].insert_one(dict(order), session=session)
        if order["article"] == "sold out":
            abort(409, "neither the order nor the task is there")
        task = get_queue().new(fulfil.call(order["number"]), session=session)
    return {"task": task.key}, 202


def status(key: str) -> dict[str, Any]:
    try:
        task = get_queue().get(key)
    except TaskNotFound:
        abort(404)
    return {"state": task.state, "progress": task.progress and task.progress.value, "result": task.result}
