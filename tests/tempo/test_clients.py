"""The application's own clients: PyMongo's AsyncMongoClient and Motor's, their databases, sessions and transactions."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pymongo
import pytest
from pymongo import AsyncMongoClient, MongoClient
from pymongo.monitoring import CommandListener

from mongoq import (
    AsyncQueue,
    ConfigurationError,
    DependencyError,
    LeaseLost,
    NewTask,
    Queue,
    StorageUnavailable,
    Task,
    TaskNotFound,
    TaskState,
)
from mongoq.storage.drivers.awaited.connection import beside, settings_beside
from proving.tempos import LoopThread

with warnings.catch_warnings():  # Motor is deprecated, and may say so
    warnings.simplefilter("ignore", DeprecationWarning)
    from motor.motor_asyncio import AsyncIOMotorClient

Body = Callable[["App"], Awaitable[None]]


class App:
    """An application on an awaited client, with a queue on it."""

    def __init__(self, client: Any, queue: AsyncQueue) -> None:
        self.client = client
        self.queue = queue
        self.orders = client["shop"][f"{queue.namespace}.orders"]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with await started(self.client) as session:
            begun = session.start_transaction()
            async with await begun if inspect.isawaitable(begun) else begun:
                yield session


async def started(client: Any) -> Any:
    session = client.start_session()
    return await session if inspect.isawaitable(session) else session


@pytest.fixture(params=["pymongo", "pymongo database", "motor", "motor database"])
def app(request: pytest.FixtureRequest, uri: str, loop: LoopThread) -> Callable[[Body], None]:
    """Give `app(body)`: run a body on an application of each kind."""

    async def serve(body: Body) -> None:
        kind: Any = AsyncMongoClient if request.param.startswith("pymongo") else AsyncIOMotorClient
        client = kind(uri)
        target = client["shop"] if request.param.endswith("database") else client
        async with AsyncQueue(target, namespace=f"t-{secrets.token_hex(4)}", grace=1) as queue:
            await queue.init()
            await body(App(client, queue))
        await client["admin"].command("ping")
        if inspect.isawaitable(closed := client.close()):
            await closed

    return lambda body: loop.run(serve(body))


def enqueues() -> dict[str, Callable[[AsyncQueue, Any], Awaitable[object]]]:
    return {
        "new": lambda queue, session: queue.new({"n": 1}, key="a", session=session),
        "new_many": lambda queue, session: queue.new_many([NewTask(key="a"), {"n": 2}], session=session),
        "load": lambda queue, session: queue.load([NewTask(key="a")], session=session),
        "modify": lambda queue, session: queue.modify(insert=[NewTask(key="a")], session=session),
    }


@pytest.mark.parametrize("verb", enqueues())
def test_what_is_enqueued_in_a_transaction_is_seen_with_it_or_never(app: Callable[[Body], None], verb: str) -> None:
    async def body(app: App) -> None:
        with pytest.raises(ZeroDivisionError):
            async with app.transaction() as session:
                await app.orders.insert_one({"_id": 1}, session=session)
                await enqueues()[verb](app.queue, session)
                raise ZeroDivisionError
        with pytest.raises(TaskNotFound):
            await app.queue.get("a")
        async with app.transaction() as session:
            await app.orders.insert_one({"_id": 1}, session=session)
            await enqueues()[verb](app.queue, session)
            assert await app.queue.size() == 0
        assert (await app.queue.get("a")).state is TaskState.READY
        assert await app.orders.count_documents({}) == 1

    app(body)


def test_a_session_that_cannot_be_joined_is_refused(app: Callable[[Body], None], uri: str) -> None:
    async def body(app: App) -> None:
        async with await started(app.client) as session:
            with pytest.raises(ConfigurationError, match="a session with a transaction in progress"):
                await app.queue.new(session=session)
        with pytest.raises(ConfigurationError, match=r"a \w*ClientSession of the queue's"):
            await app.queue.new(session="no")  # type: ignore[arg-type]
        other = type(app.client)(uri)
        async with await started(other) as session:
            with pytest.raises(ConfigurationError, match=r"a session of the .*Client that the queue was opened on"):
                await app.queue.new(session=session)
        if inspect.isawaitable(closed := other.close()):
            await closed
        with MongoClient[Any](uri) as blocking, blocking.start_session() as strange, strange.start_transaction():
            with pytest.raises(ConfigurationError, match="session"):
                await app.queue.new(session=strange)  # type: ignore[arg-type]

    app(body)


def test_a_task_completes_together_with_the_application_s_writes(app: Callable[[Body], None]) -> None:
    async def body(app: App) -> None:
        await app.queue.new(key="a")
        task = await app.queue.try_claim()
        assert task is not None
        with pytest.raises(ZeroDivisionError):
            async with app.queue.transaction(task, {"r": 1}) as session:
                await app.orders.insert_one({"_id": 1}, session=session)
                raise ZeroDivisionError
        assert (await app.queue.get("a")).state is TaskState.RUNNING
        async with app.queue.transaction(task, {"r": 1}) as session:
            await session.client["shop"][app.orders.name].insert_one({"_id": 1}, session=session)
        done = await app.queue.get("a")
        assert (done.state, done.result) == (TaskState.COMPLETED, {"r": 1})
        assert await app.orders.count_documents({}) == 1
        with pytest.raises(LeaseLost):
            async with app.queue.transaction(task):
                pytest.fail("the block is not entered")

    app(body)


def test_a_modification_of_its_own_runs_in_a_transaction(app: Callable[[Body], None]) -> None:
    async def body(app: App) -> None:
        task = await app.queue.new(key="a")
        await app.queue.modify(insert=[NewTask(key="b")], change=[task.as_change(priority=1)])
        with pytest.raises(DependencyError):
            await app.queue.modify(insert=[NewTask(key="c")], delete=[task])
        assert sorted(one.key for one in await app.queue.tasks()) == ["a", "b"]

    app(body)


def test_a_worker_runs_on_the_application_s_loop(app: Callable[[Body], None]) -> None:
    async def body(app: App) -> None:
        threads: set[int] = set()

        async def handler(task: Task) -> int:
            threads.add(threading.get_ident())
            await app.orders.insert_one({"_id": task.key})
            return 1

        made = await app.queue.new_many([{"n": n} for n in range(20)])
        await asyncio.wait_for(app.queue.run(handler, burst=True), 30)
        assert threads == {threading.get_ident()}
        assert await app.orders.count_documents({}) == 20
        assert await app.queue.count(state="completed") == 20
        assert (await app.queue.wait(made[0], timeout=60)).result == 1  # type: ignore[union-attr]

    app(body)


def test_a_time_limit_of_the_driver_s_bounds_an_operation(app: Callable[[Body], None]) -> None:
    slow = {"$expr": {"$function": {"body": "function() { sleep(3000); return true }", "args": [], "lang": "js"}}}

    async def body(app: App) -> None:
        await app.orders.insert_one({"_id": 1})
        await app.queue.new()
        with pymongo.timeout(0.3), pytest.raises((pymongo.errors.PyMongoError, StorageUnavailable)):
            await app.orders.find_one(slow)
        with pymongo.timeout(0.000001), pytest.raises(StorageUnavailable):
            await app.queue.stats()
        assert await app.queue.size() == 1

    app(body)


def test_a_session_that_is_bound_is_joined(uri: str, loop: LoopThread) -> None:
    async def body() -> None:
        async with AsyncMongoClient[Any](uri) as client, AsyncQueue(client, namespace=f"t-{secrets.token_hex(4)}") as q:
            await q.init()
            async with client.start_session() as session, session.bind(end_session=False):
                await q.new(key="before")
                assert await q.size() == 1, "no transaction is in progress"
                with pytest.raises(ZeroDivisionError):
                    async with await session.start_transaction():
                        await q.new(key="a")
                        raise ZeroDivisionError
                async with await session.start_transaction():
                    await q.new(key="b")
                    assert await q.size() == 1
                    task = await asyncio.wait_for(q.claim(timeout=5), 10)
                    assert task is not None
                    await q.complete(task)  # not in the transaction
                assert sorted(one.key for one in await q.tasks()) == ["b", "before"]

    loop.run(body())


def test_the_engine_s_client_has_the_settings_of_the_awaited_one(uri: str, loop: LoopThread) -> None:
    async def body() -> None:
        listener = CommandListener()
        client = AsyncMongoClient[Any](uri, appname="shop", maxPoolSize=7, event_listeners=[listener])
        connection = beside(client["shop"], None)
        options = connection.database.client.options
        assert connection.database.name == "shop"
        assert (options.pool_options.appname, options.pool_options.max_pool_size) == ("shop", 7)
        assert not options.event_listeners, "they are written for a loop, and the engine's threads would call them"
        assert connection.owned is connection.database.client
        connection.close()
        await client.close()

    loop.run(body())


def test_what_the_engine_cannot_share_is_asked_for(uri: str) -> None:
    class Strange:
        pass

    with pytest.raises(ConfigurationError, match="blocking=, a MongoClient or a URI of the same MongoDB"):
        settings_beside(Strange())


def test_a_blocking_client_may_be_given_for_the_engine(uri: str, loop: LoopThread) -> None:
    async def body(blocking: Any, target: Any) -> None:
        async with AsyncQueue(target, blocking=blocking, namespace=f"t-{secrets.token_hex(4)}", grace=1) as queue:
            task = await queue.new()
            await queue.run(lambda task: 7, burst=True)
            assert (await queue.get(task.key)).result == 7

    async def all_kinds() -> None:
        with MongoClient[Any](uri) as given:
            async with AsyncMongoClient[Any](uri) as client:
                for blocking in (uri, given, given["shop"]):
                    await body(blocking, client["shop"])
                with pytest.raises(ConfigurationError, match="the database 'other' is not the database of"):
                    await body(given["other"], client["shop"])
            await body(given, uri)
            motor = AsyncIOMotorClient[Any](uri)
            await body(given, motor["shop"])
            motor.close()
            given["admin"].command("ping")

    loop.run(all_kinds())


def test_the_engine_s_client_is_closed_with_the_queue(uri: str, loop: LoopThread, until: Callable[..., None]) -> None:
    async def body() -> None:
        async with AsyncMongoClient[Any](uri) as client:
            async with AsyncQueue(client, namespace=f"t-{secrets.token_hex(4)}") as queue:
                await queue.new()
                assert await queue.claim(timeout=60) is not None
                assert await queue.claim(timeout=0.1) is None
                engine = queue._base._engine
                assert engine is not None
            with pytest.raises(pymongo.errors.InvalidOperation):
                engine.connection.database.command("ping")

    loop.run(body())


def test_a_client_that_does_not_retry_writes_is_refused(uri: str, loop: LoopThread) -> None:
    async def body() -> None:
        async with AsyncMongoClient[Any](uri, retryWrites=False) as client:
            with pytest.raises(ConfigurationError, match="retryWrites"):
                AsyncQueue(client)
        motor = AsyncIOMotorClient[Any](uri, retryWrites=False)
        with pytest.raises(ConfigurationError, match="retryWrites"):
            AsyncQueue(motor)
        motor.close()

    loop.run(body())


def test_a_client_of_the_other_tempo_is_refused(uri: str, loop: LoopThread) -> None:
    async def body() -> None:
        with MongoClient[Any](uri) as blocking, pytest.raises(ConfigurationError, match="an async client"):
            AsyncQueue(blocking)  # type: ignore[arg-type]
        async with AsyncMongoClient[Any](uri) as client:
            with pytest.raises(ConfigurationError, match="a MongoClient"):
                Queue(client)  # type: ignore[arg-type]

    loop.run(body())


def test_an_encrypting_client_whose_key_vault_is_awaited_cannot_be_shared() -> None:
    vault = AsyncMongoClient[Any]("mongodb://localhost:1")
    client = SimpleNamespace(_init_kwargs={"auto_encryption_opts": SimpleNamespace(_key_vault_client=vault)})
    with pytest.raises(ConfigurationError, match="key vault"):
        settings_beside(client)
    client._init_kwargs["auto_encryption_opts"]._key_vault_client = None
    assert settings_beside(client) == client._init_kwargs
