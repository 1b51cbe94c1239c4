"""What happens between two commands of an operation: another one, or the death of the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mongoq.storage.commands import Op
from tests.storage.conftest import Store

T = TypeVar("T")


class Killed(BaseException):
    """The process is killed here."""


class Meddler:
    """Counts the commands of an operation, and calls `before` ahead of each."""

    def __init__(self, before: Callable[[int], object]) -> None:
        self.count = 0
        self._before = before

    def __call__(self, op: Op[T]) -> Op[T]:
        reply: Any = None
        error: BaseException | None = None
        try:
            while True:
                asked = op.send(reply) if error is None else op.throw(error)
                reply = error = None
                try:
                    reply = yield self._met(asked)
                except GeneratorExit:
                    raise
                except BaseException as raised:  # noqa: BLE001 -- the operation's to see
                    error = raised
        except StopIteration as done:
            result: T = done.value
            return result

    def _met(self, asked: Any) -> Any:
        self.count += 1
        self._before(self.count)
        return asked


def killed_at(store: Store, number: int, op: Op[Any]) -> bool:
    """Run an operation and kill it before this command; whether it came so far."""

    def kill(count: int) -> None:
        if count == number:
            raise Killed

    try:
        store.run(Meddler(kill)(op))
    except Killed:
        return True
    return False
