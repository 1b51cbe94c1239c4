"""The awaited driver, over PyMongo's AsyncMongoClient. It never blocks the loop, also while MongoDB is away."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Final, TypeVar

from bson.errors import BSONError
from pymongo.asynchronous.client_session import AsyncClientSession

from mongoq.core.errors import ConfigurationError, Fault, MongoqError, Unsupported
from mongoq.storage.commands import Command, Op
from mongoq.storage.control import Apart, Call, Entered, Join, Leave, Loop, Pause, Start, Wait
from mongoq.storage.drivers.authentication import Authentication, pools_of
from mongoq.storage.drivers.awaited.awaiting import awaited, called, roll_back, running, wait
from mongoq.storage.drivers.awaited.connection import AsyncConnection
from mongoq.storage.drivers.calls import (
    CALLS,
    ROWS,
    call,
    call_undecoded,
    decoded_rows,
    reply_of,
    time_limit,
)
from mongoq.storage.drivers.errors import RAISED, check_threads, translated
from mongoq.storage.drivers.handles import Handles
from mongoq.storage.drivers.sessions import BOUND_ASYNC, TRANSACTION, joined_session, unbound
from mongoq.storage.drivers.steps import (
    Begin,
    CommitOnce,
    EndSession,
    Inner,
    Left,
    RollBack,
    StartSession,
    Stepper,
    Steps,
    told,
)

T = TypeVar("T")


class AsyncScope(contextlib.AbstractAsyncContextManager[Any]):
    """An operation whose `Entered` is the block of an `async with` statement."""

    def __init__(self, driver: AsyncDriver, op: Op[Any]) -> None:
        self._driver = driver
        self._steps = driver.steps(op)

    async def __aenter__(self) -> Any:
        entered = await self._driver.advance(self._steps)
        assert isinstance(entered, Entered), "a scope enters its block"
        return entered.value

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, GeneratorExit) and not running():
            self._steps.close()
            return
        with contextlib.suppress(Left):  # the block's own error passes on
            await self._driver.advance(self._steps, None, told(error))


class AsyncDriver:
    """Runs operations on one connection, on the event loop of who awaits them."""

    AWAITED = True
    SESSION: type[Any] = AsyncClientSession
    OWNER = "AsyncMongoClient"
    BOUND = BOUND_ASYNC

    def __init__(self, connection: AsyncConnection, stepper: Stepper) -> None:
        self.connection: Final = connection
        self._handles = Handles(connection.database)
        self._authentication = Authentication()
        self.stepper = stepper
        self._loop: asyncio.AbstractEventLoop | None = None
        self._beside: set[asyncio.Task[Any]] = set()
        """What runs although nobody may await it: a loop itself does not keep its tasks."""

    async def run(self, op: Op[T]) -> T:
        """Run `op` to its end and return its result; only mongoq's own errors leave it, and its cancellation."""
        steps = self.steps(op)
        try:
            result: T = await self.advance(steps)
            return result
        finally:
            steps.close()

    def steps(self, op: Op[T]) -> Steps[T]:
        """The steps of an operation, for `advance`."""
        return self.stepper.steps(op)

    def scope(self, op: Op[Any]) -> AsyncScope:
        """The context manager that an operation with an `Entered` is."""
        return AsyncScope(self, op)

    async def stream(self, op: Op[Any]) -> AsyncGenerator[Any, None]:
        """The values that an operation enters with, one after the other."""
        steps = self.steps(op)
        try:
            while type(entered := await self.advance(steps)) is Entered:
                yield entered.value
        except GeneratorExit:
            if running():
                with contextlib.suppress(Left):
                    await self.advance(steps, None, Left())
            raise

    def promise(self) -> asyncio.Future[Any]:
        """A future of the running loop, to be resolved by an operation that runs beside others."""
        return self._bound().create_future()

    def beside(self, op: Op[None], ended: Callable[[], None]) -> None:
        """Run `op` while the caller goes on; then call `ended`, also where it was cancelled before it began."""
        self._start(self.run(op), contextvars.Context()).add_done_callback(lambda _: ended())

    def joined(self, given: Any) -> Any:
        """The session whose transaction a call takes part in; None where there is none."""
        bound = self.BOUND.get()
        if given is None and bound is None:
            return None
        client = self.connection.database.client
        return joined_session(given, bound, client, self.SESSION, self.OWNER)

    async def advance(self, steps: Steps[Any], reply: Any = None, error: BaseException | None = None) -> Any:
        """Go on with what came of the last step, to an `Entered`, which is returned, or to the operation's result."""
        self._bound()
        try:
            while True:
                asked, session = steps.send(reply) if error is None else steps.throw(error)
                if type(asked) is Entered:
                    return asked
                reply = error = None
                try:
                    reply = await self._answer(asked, session)
                except BaseException as raised:  # noqa: BLE001 -- the operation is to clean up, whatever it is
                    error = raised
        except StopIteration as done:
            return done.value

    def _bound(self) -> asyncio.AbstractEventLoop:
        """The running loop, which is the only one this driver is used on."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            why, allowed = "a second event loop", "the one it was first used on: open an AsyncQueue for each loop"
            raise ConfigurationError([Fault("AsyncQueue", why, allowed)])
        self._loop = loop
        return loop

    async def _answer(self, asked: Command | Inner, session: Any) -> Any:
        task = asyncio.current_task()
        asked_to_end = task.cancelling() if task else 0
        try:
            if self.BOUND.get() is None:
                reply = await self._ask(asked, session)
            else:
                with unbound(self.BOUND):
                    reply = await self._ask(asked, session)
        except MongoqError:
            raise
        except RAISED as error:
            if self._authentication.lost(error):
                for pool in pools_of(self.connection.database.client):
                    dropped = pool.reset_without_pause()
                    if dropped is not None:  # Motor's pools are those of a blocking client
                        await dropped
            raise translated(error, self.connection.where) from error
        except RuntimeError as error:
            check_threads(error)
            raise
        if task and task.cancelling() > asked_to_end:
            # `asyncio.wait_for` of Python 3.11, which PyMongo sends with, loses a cancellation that meets its result.
            raise asyncio.CancelledError
        return reply

    def _ask(self, asked: Command | Inner, session: Any) -> Coroutine[Any, Any, Any]:
        return self._call(asked, session) if type(asked) in CALLS else self._do(asked)

    async def _do(self, asked: Command | Inner) -> Any:  # noqa: C901, PLR0912 -- one line for each command
        match asked:
            case Pause(seconds):
                return await asyncio.sleep(seconds)
            case Wait(waiter, seconds):
                return await wait(waiter, seconds)
            case Apart(op):
                # Outside of the caller's cancellation, too: others may wait for what it does.
                return await asyncio.shield(self._start(self.run(op), contextvars.Context()))
            case Start(op):
                return await self._started(op)
            case Join(handle, seconds):
                ended = seconds is None or (await asyncio.wait([handle], timeout=seconds))[0]
                return await handle if ended else Join.PENDING
            case Leave(handle):
                handle.add_done_callback(lambda left: left.cancelled() or left.exception())  # else the loop logs it
                return handle.cancel() and None
            case Call(function):
                return await called(function)
            case Loop():
                return asyncio.get_running_loop()
            case StartSession():
                return await self._start_session()
            case Begin(own):
                await awaited(own.start_transaction(*TRANSACTION))
                return None
            case CommitOnce(own):
                return await own.commit_transaction()
            case RollBack(own):
                # An empty context: the server is to hear of it also where the caller's own time limit has passed.
                return await self._start(roll_back(own), contextvars.Context())
            case EndSession(own):
                return await own.end_session()
            case _:  # change streams and signals are read by the blocking driver's threads
                raise Unsupported(f"the awaited driver cannot do {type(asked).__name__}")

    async def _started(self, op: Op[T]) -> asyncio.Task[T]:
        task = self._start(self.run(op))
        try:
            await asyncio.sleep(0)  # so that it is on its way before this one goes on
        except BaseException:
            task.cancel()
            raise
        return task

    def _start(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None = None) -> asyncio.Task[T]:
        task = asyncio.create_task(coroutine, context=context)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def _start_session(self) -> Any:
        return self.connection.database.client.start_session(causal_consistency=False)

    async def _call(self, command: Any, session: Any) -> Any:
        with time_limit(getattr(command, "timeout", None)):
            result = call(self._handles, command, session)
            if type(command) not in ROWS:
                return reply_of(command, await result)
            try:
                return await (await awaited(result)).to_list(None)
            except BSONError:
                cursor = await awaited(call_undecoded(self._handles, command, session))
                return decoded_rows(command, await cursor.to_list(None))
