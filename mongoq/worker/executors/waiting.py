"""Attempts that wait for a handler to be free."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar


class Suspect(Protocol):
    """What may have lost leases."""

    @property
    def lost_leases(self) -> int: ...  # noqa: D102


T = TypeVar("T", bound=Suspect)


class Waiting(Generic[T]):
    """First come, first served, suspects before the others: few are held at a time, so more of them wait for each.

    Used by several threads without a lock: each operation on the deque is atomic.
    """

    def __init__(self) -> None:
        self._attempts: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._attempts)

    def put(self, attempts: list[T]) -> None:
        """Let these wait."""
        if len(attempts) == 1 and not attempts[0].lost_leases:  # as those of a chain come
            self._attempts.append(attempts[0])
            return
        if suspects := [attempt for attempt in attempts if attempt.lost_leases]:
            self._attempts.extendleft(reversed(suspects))
            attempts = [attempt for attempt in attempts if not attempt.lost_leases]
        self._attempts.extend(attempts)

    def put_back(self, attempts: list[T]) -> None:
        """Let these wait again, before all others and in their order."""
        self._attempts.extendleft(reversed(attempts))

    def next(self) -> T | None:
        """Take out the first; None where none waits."""
        try:
            return self._attempts.popleft()
        except IndexError:
            return None

    def drain(self) -> list[T]:
        """Take out all."""
        taken = []
        while (attempt := self.next()) is not None:
            taken.append(attempt)
        return taken
