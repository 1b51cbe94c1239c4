"""A shop with FastAPI: an order and its task commit together, and a page shows how far the order is.

In this folder, with `MONGOQ_URI=mongodb://localhost/shop?replicaSet=rs0`:

    fastapi dev fastapi_shop.py
    mongoq worker fastapi_shop:queue
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from mongoq import AsyncQueue, AsyncTasks, Attempt, Done
from mongoq.contrib.fastapi import QueueDep, TransactionDep, lifespan, status_router

tasks = AsyncTasks()
STEPS = ("charge", "pack", "hand over")


class Order(BaseModel):
    """What a customer sends."""

    number: int
    article: str
    count: int = Field(ge=1)


@tasks.task(max_retries=5)
async def fulfil(attempt: Attempt, number: int) -> Done[str]:
    for done, step in enumerate(STEPS):
        attempt.progress(done / len(STEPS), step)
        await asyncio.sleep(0)  # calls of the bank, the store and the carrier
    attempt.progress(1, "done")
    return Done(f"parcel {number}", then=[mail.call(number, "on its way")])


@tasks.task(queue="mail")
async def mail(number: int, about: str) -> str:
    return f"order {number}: {about}"


queue = AsyncQueue(namespace="tasks")
queue.include(tasks)


def may_look(token: Annotated[str, Query()] = "") -> None:
    if token != "letmein":  # noqa: S105 -- an example; take the sessions of your application
        raise HTTPException(403)


def make_app(*, worker: bool = False) -> FastAPI:
    app = FastAPI(lifespan=lifespan(queue, worker=worker))
    app.include_router(status_router(result=True), prefix="/tasks", dependencies=[Depends(may_look)])
    app.post("/orders", status_code=202)(place_order)
    app.get("/orders/{key}", response_class=HTMLResponse)(page)
    return app


async def place_order(order: Order, queue: QueueDep, session: TransactionDep) -> dict[str, str]:
    orders = session.client.get_default_database("shop")["orders"]
    await orders.insert_one(order.model_dump(), session=session)
    if order.article == "sold out":
        raise HTTPException(409, "neither the order nor the task is there")
    task = await queue.new(fulfil.call(order.number), session=session)
    return {"task": task.key}


async def page(key: str) -> str:
    return PAGE.replace("KEY", key)


PAGE = """<!doctype html><title>Your order</title><progress id="bar" value="0"></progress> <span id="text"></span>
<script>
  const events = new EventSource("/tasks/KEY/events?token=letmein")
  const show = (event) => {
    const task = JSON.parse(event.data)
    document.getElementById("bar").value = task.progress ?? 0
    document.getElementById("text").textContent = `${task.state} ${task.message ?? ""} ${task.result ?? ""}`
  }
  events.addEventListener("progress", show)
  events.addEventListener("end", (event) => { show(event); events.close() })
  events.addEventListener("gone", () => events.close())
</script>
"""

app = make_app()
