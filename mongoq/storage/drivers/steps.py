"""What is the same in every driver: an operation becomes a row of single commands, each with its session.

Transactions, their replays, the clock's measurements and its doubts are decided here, once for blocking and awaited
drivers. A driver only answers: it is sent `(command, session)` pairs and sends back the reply, or throws in the error.
What is thrown in may be anything, a cancelled coroutine too: the operation cleans up by further commands.

A transaction of mongoq's own is run again for `REPLAYED_FOR` after a write conflict or a fail-over, and so is its
commit until its outcome is known. PyMongo's `with_transaction` does the same for two minutes and knows no shorter
limit: too long for a worker, whose other completions wait meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

from mongoq.core.clock import Clock, elapsed
from mongoq.core.errors import StorageUnavailable
from mongoq.core.events import Signpost, Telemetry
from mongoq.storage.commands import WRITE_CONFLICT, Command, Op
from mongoq.storage.control import Abort, Commit, Hello, Measure, OpenTransaction, Pause, Transact, Within
from mongoq.storage.drivers.errors import TRANSIENT, UNKNOWN_COMMIT, has_label
from mongoq.storage.drivers.sealing import Sealer

T = TypeVar("T")

MADE_OF_OTHERS: Final = frozenset({Measure, Transact, Within, OpenTransaction, Commit, Abort})
"""Commands that stand for others; all else goes to the driver as it is."""
REPLAYED_FOR: Final = 10.0
"""Seconds for which a transaction is run again, where it brings no limit of its own."""
ROLLED_BACK_IN: Final = 2.0
"""Seconds within which a server may hear of a roll-back; one that does not aborts the transaction after a minute."""
FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.2


@dataclass(frozen=True, slots=True)
class StartSession:
    """A new session, without a transaction."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Nothing, after a transaction has begun that sees one moment of what a majority has."""

    session: Any


@dataclass(frozen=True, slots=True)
class CommitOnce:
    """Nothing, after one try to commit."""

    session: Any


@dataclass(frozen=True, slots=True)
class RollBack:
    """Nothing, after a transaction in progress was aborted; there may be none."""

    session: Any


@dataclass(frozen=True, slots=True)
class EndSession:
    """Nothing, after the session was returned."""

    session: Any


class Left(BaseException):
    """Raised in an operation where the caller's block is left for good by what no generator can be told.

    That is the end of a stream's reader, and in the block of a scope GeneratorExit, after which an operation could not
    clean up, and StopIteration, which every generator on its way would turn into a RuntimeError.
    """


def told(error: BaseException | None) -> BaseException | None:
    """What an operation is told of the error that its block ended with."""
    return Left() if isinstance(error, (GeneratorExit, StopIteration)) else error


Inner = StartSession | Begin | CommitOnce | RollBack | EndSession
Asked = tuple[Command | Inner, Any]
"""A command, and the session whose transaction it is part of, or None."""
Steps = Generator[Asked, Any, T]


class Stepper:
    """Makes the steps of operations on one server."""

    def __init__(self, clock: Clock, telemetry: Telemetry | None = None, sealer: Sealer | None = None) -> None:
        self._clock = clock
        self._telemetry = Telemetry() if telemetry is None else telemetry  # without listeners it is false
        self._sealer = sealer
        """Encrypts what is sent, and decrypts what comes."""

    def steps(self, op: Op[T]) -> Steps[T]:
        """The steps of an operation."""
        return self._resolved(op, None)

    def _measure(self) -> Steps[None]:
        sent = elapsed()
        reply = yield Hello(), None
        self._clock.measured(reply["localTime"], sent, elapsed())

    def _resolved(self, op: Op[T], session: Any) -> Steps[T]:
        """An operation without the commands that stand for others."""
        reply: Any = None
        error: BaseException | None = None
        try:
            while True:
                asked = op.send(reply) if error is None else op.throw(error)
                reply = error = None
                try:
                    if type(asked) not in MADE_OF_OTHERS:
                        if self._sealer is None:
                            reply = yield asked, session
                        else:
                            reply = self._sealer.opened(asked, (yield self._sealer.sealed(asked), session))
                    elif type(asked) is not Measure or self._clock.wants_measuring():
                        reply = yield from self._answer(asked, session)
                except GeneratorExit:
                    raise
                except BaseException as raised:  # noqa: BLE001 -- all of them are the operation's to see
                    error = raised
                    if isinstance(raised, StorageUnavailable) and raised.code != WRITE_CONFLICT:
                        self._clock.doubt()
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            op.close()

    def _answer(self, asked: Command, session: Any) -> Steps[Any]:
        match asked:
            case Transact(body, limit, reads):
                if session is None:
                    return (yield from self._transact(body, limit, reads=reads))
                return (yield from self._resolved(body(), session))
            case Measure():
                return (yield from self._measure())
            case Within(own, body):
                return (yield from self._resolved(body(), own))
            case OpenTransaction(first):
                return (yield from self._in_session(lambda own: self._open(own, first), keep=True))
            case Commit(own):
                return (yield from self._commit_and_end(own))
            case Abort(own):
                return (yield from self._abort_and_end(own))
            case _:
                return (yield asked, session)

    def _transact(self, body: Callable[[], Op[T]], limit: timedelta | None, *, reads: bool) -> Steps[T]:
        give_up_at = elapsed() + (REPLAYED_FOR if limit is None else limit.total_seconds())

        def whole(session: Any) -> Steps[T]:
            result = yield from self._resolved(body(), session)
            if reads:
                yield RollBack(session), None
            else:
                yield from self._commit(session, give_up_at)
            return result

        return (yield from self._in_session(lambda session: self._persistently(session, whole, give_up_at)))

    def _open(self, session: Any, first: Callable[[], Op[Any]]) -> Steps[Any]:
        give_up_at = elapsed() + REPLAYED_FOR
        yield from self._persistently(session, lambda own: self._resolved(first(), own), give_up_at)
        return session

    def _in_session(self, body: Callable[[Any], Steps[T]], *, keep: bool = False) -> Steps[T]:
        """Run `body` in a session of its own, which ends with it; kept where it ends well and `keep` says so."""
        session = yield StartSession(), None
        try:
            result = yield from body(session)
        except GeneratorExit:
            raise
        except BaseException:
            yield EndSession(session), None
            raise
        if not keep:
            yield EndSession(session), None
        return result

    def _persistently(self, session: Any, body: Callable[[Any], Steps[T]], give_up_at: float) -> Steps[T]:
        """Run `body` in a new transaction, again and again while that may help."""
        pause = FIRST_PAUSE
        while True:
            yield Begin(session), None
            try:
                return (yield from body(session))
            except GeneratorExit:
                raise
            except BaseException as error:
                yield RollBack(session), None
                if not has_label(error, TRANSIENT) or elapsed() + pause > give_up_at:
                    raise
                self._telemetry.emit(Signpost.TRANSACTION_REPEATED, error=error)
            yield Pause(pause * random.uniform(0.5, 1)), None  # noqa: S311 -- no secret
            pause = min(LONGEST_PAUSE, pause * 2)

    def _commit(self, session: Any, give_up_at: float) -> Steps[None]:
        """Commit, and ask again until the outcome is known; StorageUnavailable (ambiguous) where it stays unknown."""
        while True:
            try:
                yield CommitOnce(session), None
            except StorageUnavailable as error:
                if not has_label(error, UNKNOWN_COMMIT):
                    raise
                if elapsed() > give_up_at:
                    message = "MongoDB did not say whether the transaction was committed: it may have been"
                    raise StorageUnavailable(message, ambiguous=True) from error
            else:
                return
            yield Pause(FIRST_PAUSE), None

    def _commit_and_end(self, session: Any) -> Steps[None]:
        try:
            yield from self._commit(session, elapsed() + REPLAYED_FOR)
        except GeneratorExit:
            raise
        except BaseException:
            yield from self._abort_and_end(session)
            raise
        yield EndSession(session), None

    def _abort_and_end(self, session: Any) -> Steps[None]:
        try:
            yield RollBack(session), None
        except GeneratorExit:
            raise
        except BaseException:  # the server aborts it when the session ends, or after a minute
            yield EndSession(session), None
            raise
        yield EndSession(session), None
