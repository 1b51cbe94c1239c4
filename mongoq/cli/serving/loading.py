"""Import what a worker runs: MODULE:QUEUE or MODULE:FUNCTION."""

from __future__ import annotations

import importlib
import operator
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mongoq import AsyncQueue, Queue
from mongoq.cli.options import refuse
from mongoq.core.validation import did_you_mean

T = TypeVar("T")


class EarlySignals:
    """SIGTERM before the worker takes it over: the module that is being imported may catch what is raised for it."""

    def __init__(self) -> None:
        self._came = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._arrived)

    def watching(self, load: Callable[[], T]) -> T:
        """Do this; SystemExit where the signal has come meanwhile, whatever became of it."""
        try:
            return load()
        finally:
            if self._came:
                raise SystemExit(0)

    def _arrived(self, _number: int, _frame: object) -> None:
        self._came = True
        raise SystemExit(0)


def loaded(target: str, modules: Sequence[str] = ()) -> Any:
    """Import these modules and the queue or the function MODULE:NAME; raises BadParameter when there is none."""
    module_name, colon, path = target.partition(":")
    if not colon or not module_name or not path:
        refuse(f"{target!r} is neither MODULE:QUEUE nor MODULE:FUNCTION, such as app.tasks:queue or app.tasks:send")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    for name in modules:
        _imported(name)
    module = _imported(module_name)
    try:
        found = operator.attrgetter(path)(module)
    except AttributeError:
        refuse(f"the module {module_name} has no {path!r}{did_you_mean(path, dir(module))}")
    if not (callable(found) or isinstance(found, Queue | AsyncQueue)):
        refuse(f"{target} is neither a queue nor a function of a task: its type is {type(found).__name__}")
    return found


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- a module may raise anything at its import, SystemExit included
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            refuse(f"no module {error.name!r} is found in {Path.cwd()}, nor on Python's path")
        last = traceback.extract_tb(error.__traceback__)[-1]
        # The last frame of a syntax error belongs to the import system; the error itself names its place.
        where = "" if last.filename.startswith("<frozen") else f" ({last.filename}, line {last.lineno})"
        refuse(f"the module {name} cannot be imported: {type(error).__name__}: {error}{where}")
