"""The blocking driver, over a MongoClient; may be used by many threads."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import pymongo
from bson.errors import BSONError
from pymongo.client_session import ClientSession

from mongoq.core.errors import MongoqError, Unsupported
from mongoq.core.host.limits import starts
from mongoq.storage.commands import Command, Op
from mongoq.storage.control import (
    Apart,
    Call,
    Entered,
    Join,
    Leave,
    Loop,
    Next,
    Pause,
    Start,
    Tail,
    Unwatch,
    Wait,
    Watch,
)
from mongoq.storage.drivers.authentication import Authentication, pools_of
from mongoq.storage.drivers.calls import (
    CALLS,
    ROWS,
    call,
    call_undecoded,
    decoded_rows,
    reply_of,
    time_limit,
)
from mongoq.storage.drivers.connection import Connection
from mongoq.storage.drivers.errors import RAISED, check_threads, translated
from mongoq.storage.drivers.handles import Handles
from mongoq.storage.drivers.sessions import BOUND, TRANSACTION, joined_session, unbound
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
from mongoq.storage.drivers.streaming.opening import open_stream
from mongoq.storage.drivers.waiting import ended, roll_back, started, wait

T = TypeVar("T")


class Scope(contextlib.AbstractContextManager[Any]):
    """An operation whose `Entered` is the block of a `with` statement."""

    def __init__(self, driver: BlockingDriver, op: Op[Any]) -> None:
        self._driver = driver
        self._steps = driver.steps(op)

    def __enter__(self) -> Any:
        entered = self._driver.advance(self._steps)
        assert isinstance(entered, Entered), "a scope enters its block"
        return entered.value

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        with contextlib.suppress(Left):  # the block's own error passes on
            self._driver.advance(self._steps, None, told(error))


class BlockingDriver:
    """Runs operations on one connection."""

    AWAITED = False
    """Whether its operations are awaited."""

    def __init__(self, connection: Connection, stepper: Stepper) -> None:
        self.connection: Final = connection
        self._handles = Handles(connection.database)
        self._authentication = Authentication()
        self.stepper = stepper

    def run(self, op: Op[T]) -> T:
        """Run `op` to its end and return its result; only mongoq's own errors leave it.

        Whatever session the application has bound, it becomes part of none but those that it names.
        """
        steps = self.steps(op)
        try:
            result: T = self.advance(steps)
            return result
        finally:
            steps.close()

    def steps(self, op: Op[T]) -> Steps[T]:
        """The steps of an operation, for `advance`."""
        return self.stepper.steps(op)

    def scope(self, op: Op[Any]) -> Scope:
        """The context manager that an operation with an `Entered` is."""
        return Scope(self, op)

    def stream(self, op: Op[Any]) -> Iterator[Any]:
        """The values that an operation enters with, one after the other."""
        steps = self.steps(op)
        try:
            while type(entered := self.advance(steps)) is Entered:
                yield entered.value
        except GeneratorExit:
            with contextlib.suppress(Left):
                self.advance(steps, None, Left())
            raise

    def promise(self) -> concurrent.futures.Future[Any]:
        """A future to be resolved by an operation that runs beside others."""
        return concurrent.futures.Future()

    def beside(self, op: Op[None], ended: Callable[[], None]) -> None:
        """Run `op` while the caller goes on, in a thread that the end of the process waits for; then call `ended`."""

        def work() -> None:
            try:
                self.run(op)
            finally:
                ended()

        context = contextvars.Context()
        starts.begin_or_run(threading.Thread(target=context.run, args=(work,), name="mongoq-writer", daemon=False))

    def joined(self, given: Any) -> ClientSession | None:
        """The session whose transaction a call takes part in; None where there is none."""
        if given is None and BOUND.get() is None:
            return None
        client = self.connection.database.client
        session: ClientSession | None = joined_session(given, BOUND.get(), client, ClientSession, "MongoClient")
        return session

    def advance(self, steps: Steps[Any], reply: Any = None, error: BaseException | None = None) -> Any:
        """Go on with what came of the last step, to an `Entered`, which is returned, or to the operation's result."""
        try:
            while True:
                asked, session = steps.send(reply) if error is None else steps.throw(error)
                if type(asked) is Entered:
                    return asked
                reply = error = None
                try:
                    reply = self._answer(asked, session)
                except BaseException as raised:  # noqa: BLE001 -- the operation is to clean up, whatever it is
                    error = raised
        except StopIteration as done:
            return done.value

    def _answer(self, asked: Command | Inner, session: Any) -> Any:
        try:
            if BOUND.get() is None:
                return self._ask(asked, session)
            with unbound(BOUND):
                return self._ask(asked, session)
        except MongoqError:
            raise
        except RAISED as error:
            if self._authentication.lost(error):
                for pool in pools_of(self.connection.database.client):
                    pool.reset_without_pause()
            raise translated(error, self.connection.where) from error
        except RuntimeError as error:
            check_threads(error)
            raise

    def _ask(self, asked: Command | Inner, session: Any) -> Any:  # noqa: C901, PLR0912 -- one line for each command
        if type(asked) in CALLS:
            return self._call(asked, session)
        match asked:
            case Pause(seconds):
                return time.sleep(seconds)
            case Wait(waiter, seconds):
                return wait(waiter, seconds)
            case Apart(op):
                return contextvars.Context().run(self.run, op)
            case Start(op):
                return started(lambda: self.run(op))
            case Join(handle, seconds):
                return handle.result() if ended(handle, seconds) else Join.PENDING
            case Leave():
                return None  # its thread ends with its command
            case Call(function):
                return function()
            case Loop():
                return None
            case StartSession():
                return self.connection.database.client.start_session(causal_consistency=False)
            case Begin(own):
                return own.start_transaction(*TRANSACTION) and None
            case CommitOnce(own):
                return own.commit_transaction()
            case RollBack(own):
                # An empty context: the server is to hear of it also where the caller's own time limit has passed.
                return contextvars.Context().run(roll_back, own)
            case EndSession(own):
                return own.end_session()
            case Watch() | Tail():
                return open_stream(self._handles, asked)
            case Next(stream, timeout):
                with pymongo.timeout(timeout.total_seconds()):
                    event = stream.try_next()
                return event if event is not None or stream.alive else Next.ENDED
            case Unwatch(stream):
                return stream.close()
            case _:
                raise Unsupported(f"the blocking driver cannot do {type(asked).__name__}")

    def _call(self, command: Any, session: Any) -> Any:
        with time_limit(getattr(command, "timeout", None)):
            result = call(self._handles, command, session)
            if type(command) not in ROWS:
                return reply_of(command, result)
            try:
                return result.to_list()
            except BSONError:
                return decoded_rows(command, call_undecoded(self._handles, command, session).to_list())
