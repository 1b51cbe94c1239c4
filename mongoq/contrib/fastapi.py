"""FastAPI: a lifespan, the queue and a transaction as dependencies, and endpoints that tell how far a task is.

    queue = AsyncQueue(namespace="shop")
    app = FastAPI(lifespan=lifespan(queue))
    app.include_router(status_router(), prefix="/tasks", dependencies=[Depends(signed_in)])

    @app.post("/orders")
    async def order(order: Order, queue: QueueDep, session: TransactionDep) -> str: ...

Needs FastAPI 0.121 or later.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, Final

from mongoq import AsyncQueue, ConfigurationError, Fault, Task, TaskNotFound, TaskState
from mongoq.contrib.joining import make_ready
from mongoq.core.host.extras import needs
from mongoq.storage.drivers.sessions import AsyncClientSession

with needs("fastapi>=0.121"):
    from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
    from fastapi.responses import StreamingResponse
    from pydantic import BaseModel

__all__ = ["QueueDep", "TaskStatus", "TransactionDep", "get_queue", "lifespan", "status_router", "transaction"]

LONGEST_STREAM: Final = 30.0
"""Seconds: a server that stops waits for its open responses, and a browser opens a new one by itself."""
EVERY: Final = 1.0
"""Seconds between two looks at the progress of a task; its end is told at once."""
STREAM: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def lifespan(queue: AsyncQueue, *, worker: bool = False) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The lifespan of an application with a queue, which is closed when the application ends.

    With `worker` the process runs tasks too, those of the queue's functions: for development, or for a small
    application. Otherwise run `mongoq worker MODULE:QUEUE` beside it. In a lifespan of your own, write
    `async with lifespan(queue)(app): ...`.
    """
    if not isinstance(queue, AsyncQueue):
        raise ConfigurationError([Fault("queue", repr(queue), "an AsyncQueue: it lives on the application's loop")])

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        async with queue:
            app.state.mongoq = queue
            if worker:
                await queue.start()
            yield

    return opened


def get_queue(request: Request) -> AsyncQueue:
    """The queue of the application, as a dependency: `queue: QueueDep`."""
    queue = getattr(request.app.state, "mongoq", None)
    if queue is None:
        allowed = "FastAPI(lifespan=lifespan(queue)); in tests, `with TestClient(app)` runs it"
        raise ConfigurationError([Fault("app.state.mongoq", "None", allowed)])
    return queue  # type: ignore[no-any-return]


QueueDep = Annotated[AsyncQueue, Depends(get_queue)]


async def transaction(queue: QueueDep) -> AsyncIterator[AsyncClientSession]:
    """The request's transaction, as a dependency: `session: TransactionDep`.

    What the endpoint writes with `session=session`, documents and tasks, takes effect when it returns: before the
    response is sent, so that a commit which fails is no success to the client. What it raises, an HTTPException as
    well, aborts the transaction. The session is one of the queue's client: `session.client`.
    """
    await make_ready(queue)
    client = queue._base.driver.connection.database.client  # noqa: SLF001 -- the session has to be of this client
    async with client.start_session() as session, await session.start_transaction():
        yield session


TransactionDep = Annotated[AsyncClientSession, Depends(transaction, scope="function")]


class TaskStatus(BaseModel):
    """What an endpoint tells of a task: nothing of its arguments, its errors or where it runs."""

    key: str
    name: str | None
    state: TaskState
    progress: float | None
    """From 0 to 1, as `attempt.progress` said."""
    message: str | None
    result: Any = None

    @classmethod
    def of(cls, task: Task, *, result: bool) -> TaskStatus:
        """The status of a task, with its result where that may be shown."""
        said = task.progress
        return cls(
            key=task.key,
            name=task.name,
            state=task.state,
            progress=None if said is None else said.value,
            message=None if said is None else said.message,
            result=task.result if result else None,
        )

    @property
    def json_text(self) -> str:
        """It as JSON; what a result holds that JSON cannot, as text."""
        return self.model_dump_json(fallback=str)


def status_router(*, result: bool = False) -> APIRouter:
    """Endpoints that tell how far a task is: `GET /{key}` as JSON, `GET /{key}/events` as server-sent events.

    The events are `progress` and, at last, `end` (or `gone`, where there is no such task any more), each with a
    TaskStatus as its data; `result=True` adds what the handler returned. Who knows the key of a task sees its status:
    give `include_router` a dependency that tells who may.
    """
    router = APIRouter(tags=["tasks"])

    @router.get("/{key}", response_model=TaskStatus)
    async def status(key: str, queue: QueueDep) -> Response:
        task = await _found(queue, key)
        return Response(TaskStatus.of(task, result=result).json_text, media_type="application/json")

    @router.get("/{key}/events", response_class=StreamingResponse)
    async def events(key: str, queue: QueueDep) -> StreamingResponse:
        told = _told(queue, await _found(queue, key), result=result)
        return StreamingResponse(told, media_type="text/event-stream", headers=STREAM)

    return router


async def _found(queue: AsyncQueue, key: str) -> Task:
    try:
        return await queue.get(key)
    except TaskNotFound:
        raise HTTPException(404, f"there is no task {key!r}") from None


async def _told(queue: AsyncQueue, task: Task, *, result: bool) -> AsyncIterator[str]:
    """The events of a task until it has ended, or the stream has lasted long enough."""
    yield "retry: 1000\n\n"
    until = time.monotonic() + LONGEST_STREAM
    last = ""
    while True:
        text = TaskStatus.of(task, result=result).json_text
        if task.finished:
            yield f"event: end\ndata: {text}\n\n"
            return
        # A comment shows whether somebody still listens.
        yield ": nothing new\n\n" if text == last else f"event: progress\ndata: {text}\n\n"
        if time.monotonic() > until:
            return
        last = text
        try:
            task = await queue.wait(task.key, timeout=EVERY) or await queue.get(task.key)
        except TaskNotFound:
            yield "event: gone\ndata: \n\n"
            return
