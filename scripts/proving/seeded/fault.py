"""A fault: functions and constants of the package, by their names, and what to put in their place.

A fault replaces whole functions, so it outlives every change of their bodies. Where a function is renamed or moved,
`check` fails and says so. `hook` installs a fault in a process that starts.

The modules that define faults import only the standard library at the top: `hook` loads them before the package, and
whatever they imported would keep the functions without the fault.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

MISFITS: Final = "MONGOQ_FAULT_MISFITS"
"""The variable that names the file for errors of the replacements themselves."""
HERE: Final = Path(__file__).parent

Replacement = Callable[..., Any]
Decorator = Callable[[Replacement], Replacement]


class CannotSeedError(Exception):
    """The target of a fault is missing, its replacement does not fit, or the tests could not be run with it."""


class Part(NamedTuple):
    """One replacement."""

    target: str
    """What it replaces, as `package.module:name` or `package.module:Class.method`."""
    replacement: Replacement
    """For a function: gets the original and the arguments of each call. For a constant: makes the new value."""
    constant: bool

    @property
    def module(self) -> str:
        """The module that defines the target."""
        return self.target.partition(":")[0]

    def put_into(self, module: ModuleType) -> None:
        """Replace the target in its module; CannotSeedError where it is missing."""
        owner, name, original = self._found(module)
        setattr(owner, name, self._made(original))

    def check(self) -> None:
        """Import the target and make its replacement; CannotSeedError where it is missing or does not fit."""
        try:
            _, _, original = self._found(importlib.import_module(self.module))
            self._made(original)
        except ImportError as error:
            raise CannotSeedError(f"{self.target} cannot be imported: {error}") from error

    def _found(self, module: ModuleType) -> tuple[Any, str, Any]:
        owner: Any = module
        path = self.target.partition(":")[2]
        *outer, name = path.split(".")
        try:
            for one in outer:
                owner = getattr(owner, one)
            original = inspect.getattr_static(owner, name)
        except AttributeError as error:
            raise CannotSeedError(f"{self.target} is missing: {error}") from error
        if not self.constant:
            if not inspect.isfunction(original):
                raise CannotSeedError(f"{self.target} is no function but {original!r}")
            # Replaced where it is only imported, it would stay as it is for all others.
            if original.__module__ != self.module:
                raise CannotSeedError(f"{self.target} is defined elsewhere: {original.__module__}")
        return owner, name, original

    def _made(self, original: Any) -> Any:
        if not self.constant:
            return _replaced(original, self.replacement)
        try:
            return self.replacement(original)
        except Exception as error:
            raise CannotSeedError(f"{self.target}: its replacement does not fit {original!r}: {error!r}") from error


class Fault(NamedTuple):
    """One fault."""

    name: str
    first: tuple[str, ...]
    """The tests to run first: node ids, or files."""
    rule: str
    """The rule of tests/model/protocol.py that it breaks; empty where it breaks none."""
    parts: list[Part]

    def check(self) -> None:
        """CannotSeedError where one of its targets is missing."""
        for part in self.parts:
            try:
                part.check()
            except CannotSeedError as error:
                raise CannotSeedError(f"{self.name}: {error}") from error


class Faults(dict[str, Fault]):
    """Faults by name, in the order of their definition. A further decorator with the same name adds a part."""

    def function(self, name: str, target: str, first: str = "", *, rule: str = "") -> Decorator:
        """Decorate the replacement of a function or method: it gets the original, then the arguments."""
        return self._part(name, target, first, rule, constant=False)

    def constant(self, name: str, target: str, first: str = "", *, rule: str = "") -> Decorator:
        """Decorate a function that makes the new value of a constant from the original one."""
        return self._part(name, target, first, rule, constant=True)

    def _part(self, name: str, target: str, first: str, rule: str, *, constant: bool) -> Decorator:
        def define(replacement: Replacement) -> Replacement:
            tests = tuple(f"tests/{one}" for one in first.split())
            self.setdefault(name, Fault(name, tests, rule, [])).parts.append(Part(target, replacement, constant))
            return replacement

        return define


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """A filter, or one operator's part of an update, without these fields; KeyError where one is missing."""
    left = dict(fields)
    for name in names:
        del left[name]
    return left


def answered(result: Any) -> Generator[Any, Any, Any]:
    """An operation that sends no command and has this result."""
    yield from ()
    return result


def _replaced(original: Callable[..., Any], replacement: Replacement) -> Callable[..., Any]:
    @functools.wraps(original)
    def seeded(*given: Any, **options: Any) -> Any:
        try:
            result = replacement(original, *given, **options)
        except Exception as error:
            _report(error)
            raise
        return _watched(result) if inspect.isgenerator(result) else result

    return seeded


def _watched(operation: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    try:
        return (yield from operation)
    except Exception as error:
        _report(error)
        raise


def _report(error: Exception) -> None:
    """Note an error that the replacement raised itself: it no longer fits, and a test fails for the wrong reason."""
    frames = traceback.extract_tb(error.__traceback__)
    if MISFITS in os.environ and Path(frames[-1].filename).parent == HERE:
        with Path(os.environ[MISFITS]).open("a") as file:
            file.write("".join(traceback.format_exception(error)))
