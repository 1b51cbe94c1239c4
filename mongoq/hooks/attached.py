"""The hooks of one queue object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from mongoq.core.events import Telemetry
from mongoq.core.listening.delivery import Listeners, check_listener
from mongoq.core.listening.kinds import QueueEvent

E = TypeVar("E", bound=QueueEvent)
F = TypeVar("F", bound=Callable[..., object])


class Hooks:
    """What was hung into a queue object."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.on = Listening(telemetry)


class Listening:
    """Calls listeners for the events of a queue: `queue.on(AttemptFailed, listener)`, or `@queue.on(AttemptFailed)`.

    The events are the classes of `mongoq.events`. Listeners run one after the other in a thread of their own, so a slow
    one holds up no task. ConfigurationError where the kind is no event, or the listener is no plain function.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._listeners: Listeners | None = None

    @overload
    def __call__(self, kind: type[E], listener: Callable[[E], object]) -> Callable[[], None]: ...
    @overload
    def __call__(self, kind: type[E]) -> Callable[[F], F]: ...
    def __call__(self, kind: Any, listener: Any = None) -> Any:
        """Call a listener for each event of a kind; the returned function ends that. Without one, a decorator."""
        if listener is not None:
            return self._add(kind, listener)

        def decorate(function: F) -> F:
            self._add(kind, function)
            return function

        return decorate

    def _add(self, kind: Any, listener: Any) -> Callable[[], None]:
        check_listener(kind, listener)
        if self._listeners is None:
            self._listeners = Listeners()
            self._telemetry.subscribe_quick(self._listeners.note, self._listeners.settle)
        return self._listeners.add(kind, listener)
