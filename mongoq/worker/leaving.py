"""The end of a process whose worker a signal has stopped: threads that handlers left behind do not hold it up."""

from __future__ import annotations

import concurrent.futures.thread
import contextlib
import logging
import os
import sys
import threading
from typing import Final

from mongoq.core.host.limits import starts
from mongoq.worker.log_lines import lines

log = logging.getLogger("mongoq.worker")

LAST_MOMENT: Final = 0.5
"""Seconds for which the end of a process waits for the threads of handlers."""


def leave_threads(before: set[threading.Thread]) -> None:
    """At the end of this process, do not wait for threads that began after these: a `ThreadPoolExecutor`'s, mostly.

    A released handler may be in a call that takes hours. Where the application's own threads still run they decide.
    """
    register = getattr(threading, "_register_atexit", None)  # before anything waits for threads; not public
    if register is None or not (_left(before) or lines.stuck):
        return
    ending = threading.Event()
    with contextlib.suppress(RuntimeError):  # it is ending already
        end = threading.Thread(target=_end, args=(ending, before), name="mongoq-end", daemon=True)
        if not starts.begin(end):
            ending.set()  # at the end of the process its main thread does it
            register(end.run)
            return
        register(ending.set)


def _left(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in _holding() if thread not in before]


def _holding() -> list[threading.Thread]:
    main = threading.main_thread()
    pooled = getattr(
        concurrent.futures.thread, "_threads_queues", {}
    )  # they are waited for even where they are daemons
    return [
        thread for thread in threading.enumerate() if thread is not main and (not thread.daemon or thread in pooled)
    ]


def _end(ending: threading.Event, before: set[threading.Thread]) -> None:
    ending.wait()
    for thread in _left(before):
        thread.join(LAST_MOMENT)
    left = _left(before)
    if (not left and not lines.stuck) or len(left) < len(_holding()):
        return
    streams = [sys.stdout]
    if not lines.stuck:
        names = ", ".join(thread.name for thread in left)
        log.warning("this process ends while threads of handlers still run: %s", names)
        streams.append(sys.stderr)
    for stream in streams:
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(1 if hasattr(sys, "last_type") else 0)
