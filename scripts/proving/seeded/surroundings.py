"""The faults of what surrounds a worker: its listeners, its application's settings, its children, the terminal."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from proving.seeded.fault import Faults

FAULTS: Final = Faults()


@FAULTS.function(
    "renewals and endings wait for listeners", "mongoq.core.events:deferring", "work/test_stuck_listeners.py"
)
def _deferring_nothing(deferring: Any) -> Any:
    return contextlib.nullcontext()


@FAULTS.function(
    "children share the application's time limit of sockets",
    "mongoq.worker.executors.children.blueprint:_blocking",
    "work/test_surroundings.py",
)
def _as_it_is(blocking: Any, end: Any) -> Any:
    return end


@FAULTS.function(
    "a standstill is told to nobody",
    "mongoq.worker.services.watchdog:Watchdog._tell_standstill",
    "unit/worker/test_watchdog.py",
)
def _tell_nobody(tell: Any, watchdog: Any, now: Any) -> None:
    return


@FAULTS.function(
    "a stopped worker waits for the threads of its handlers",
    "mongoq.worker.leaving:leave_threads",
    "work/test_ending_processes.py",
)
def _leave_none(leave: Any, before: Any) -> None:
    return


@FAULTS.function(
    "whatever ends a child, memory ran out",
    "mongoq.worker.executors.children.ending:how_it_ended",
    "work/test_broken_children.py",
)
def _killed_by_the_server(how: Any, code: Any) -> Any:
    return how(-9)


@FAULTS.function(
    "a listener of a shared client takes the last connection",
    "mongoq.worker.crowding:crowded",
    "work/test_crowding.py",
)
def _never_crowded(crowded: Any, client: Any) -> bool:
    return False


@FAULTS.function(
    "a long list is shown when its last row is there", "mongoq.cli.output:show_rows", "unit/test_long_lists.py"
)
def _all_at_once(show_rows: Any, sheet: Any, rows: Any) -> Any:
    return show_rows(sheet, iter(list(rows)))


@FAULTS.function("odd errors are read like any other", "mongoq.core.host.tracebacks:parts_of", "work/test_isolation.py")
def _parts_as_they_say(parts_of: Any, error: Any) -> Any:
    return error.exceptions if isinstance(error, BaseExceptionGroup) else ()


@FAULTS.function(
    "a value that equals nothing is asked", "mongoq.core.validation:all_unset", "unit/test_raising_values.py"
)
def _count(all_unset: Any, values: Any) -> Any:
    from mongoq.core.validation import UNSET

    return values.count(UNSET) == len(values)
