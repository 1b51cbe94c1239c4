"""A worker process to do things to: `python -m proving.fault_worker SPEC`, its MongoDB in MONGOQ_URI.

It writes down what happens to it, and can kill or freeze itself at any event: no schedule of signals from
outside hits the same moment twice. What its handler does, the task says in its tags.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mongoq import Move, Queue, Snooze, Task
from mongoq.worker.fleet import watcher
from mongoq.worker.services import watcher as polls


@dataclass(frozen=True)
class Spec:
    """What to run."""

    namespace: str
    journal: str
    """The file in which it writes down what happens."""
    options: dict[str, Any] = field(default_factory=dict)
    workers: int = 4
    kill_at: str = ""
    """The event at which it kills itself."""
    freeze_at: str = ""
    """The event at which it freezes itself, once."""
    clock: float = 0
    """By how many seconds its host's clock is wrong."""
    rare_polls: bool = False
    """Whether its polls are as rare at once as they get after a quiet minute."""


class Journal:
    """Lines of JSON, each appended in one write: what happened, to which tasks, when."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, event: str, keys: list[str], **more: object) -> None:
        """Write one thing down."""
        line = {"event": event, "keys": keys, "at": time.monotonic(), **more}
        os.write(self._file, json.dumps(line).encode() + b"\n")


def listener(journal: Journal, spec: Spec) -> Callable[[str, Mapping[str, Any]], None]:
    """Write down every event, and kill or freeze this process at the one the spec names."""
    freezing = [spec.freeze_at]

    def listen(name: str, fields: Mapping[str, Any]) -> None:
        match fields:
            case {"endings": endings}:
                keys = [task.key for task, _ in endings]
                journal.note(name, keys, verdicts=[verdict.event.value for _, verdict in endings])
            case {"tasks": tasks}:
                journal.note(name, [task.key for task in tasks])
            case {"task": task}:
                journal.note(name, [task.key])
            case _:
                journal.note(name, [fields["key"]] if "key" in fields else [])
        if name == spec.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if freezing == [name]:
            freezing.clear()
            freeze()

    return listen


def freeze() -> None:
    """Stop here. Sent to the process, the signal may take effect in another thread, and this one go on till then."""
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def handle(task: Task) -> str:
    """Do what the task says."""
    if task.get("freeze"):
        freeze()
    if task.get("hold") and task.attempts == 1:
        ctypes.PyDLL(None).usleep(round(task.tags["hold"] * 1e6))  # with the interpreter's lock, as some regexes do
    if task.get("seconds"):
        threading.Event().wait(task.tags["seconds"])
    match task.get("do"):
        case "raise":
            raise ValueError("as told")
        case "snooze":
            raise Snooze(60)
        case "move":
            raise Move("elsewhere")
        case "wait":
            while not task.cancelled:
                threading.Event().wait(0.02)
    return f"done by {os.getpid()}"


def main() -> None:
    """Work until a signal comes."""
    spec = Spec(**json.loads(sys.argv[1]))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    if spec.clock:
        right = time.time
        time.time = lambda: right() + spec.clock
    if spec.rare_polls:
        vars(polls)["FIRST_POLL"] = vars(watcher)["LONGEST_POLL"] = watcher.LONGEST_POLL_CALLED
    journal = Journal(spec.journal)
    with Queue(namespace=spec.namespace, workers=spec.workers, **spec.options) as queue:
        queue.telemetry.subscribe(listener(journal, spec))
        journal.note("ready", [])
        queue.run(handle)


if __name__ == "__main__":
    main()
