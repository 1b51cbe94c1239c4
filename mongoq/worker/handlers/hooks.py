"""A handler with the hooks of its queue: its middleware, and the lifespan of what handlers share."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from mongoq.core.validation import Checker
from mongoq.worker.handlers.lifespan import Lifespan
from mongoq.worker.handlers.middleware import Middleware
from mongoq.worker.handlers.signature import ASYNCIO, IMPORTABLE, PROCESSES, Handler, importable, takes_attempt

TOGETHER: Final = "together"
"""The attribute of a middleware that has another generator for the calls of batch handlers."""


def with_hooks(handler: Handler, executor: str, middleware: Sequence[Any], lifespan: Any) -> Handler:
    """The handler inside these; ConfigurationError where one does not fit the executor."""
    checker = Checker()
    for function in middleware:
        _check(checker, "middleware", function, executor)
    if lifespan is not None:
        _check(checker, "lifespan", lifespan, executor)
    checker.finish()
    layers = tuple(
        Middleware(
            function,
            takes_attempt(function, "middleware"),
            inspect.isasyncgenfunction(function),
            getattr(function, TOGETHER, None),
        )
        for function in middleware
    )
    return replace(
        handler,
        middleware=layers,
        lifespan=None if lifespan is None else Lifespan(lifespan),
        awaited=executor == ASYNCIO,
    )


def _check(checker: Checker, field: str, function: Any, executor: str) -> None:
    if inspect.isasyncgenfunction(function) and executor != ASYNCIO:
        allowed = f"a generator function, for executor={executor!r}: an async one needs the event loop of {ASYNCIO!r}"
        checker.refuse(field, function, allowed)
    elif executor == PROCESSES and not importable(function):
        checker.refuse(field, function, IMPORTABLE)
