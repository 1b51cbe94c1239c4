"""How the log lines of a handler in a child come to the log handlers of its parent: with level, time and task key.

A child imports the handler and runs nothing of the application's set-up, so nobody has configured logging in it. Where
the handler's module does so at its import, the child's lines are its own affair.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from mongoq.core.host.log_context import facts

KEPT = ("name", "levelno", "levelname", "pathname", "filename", "module", "lineno", "funcName", "created", "msecs",
        "relativeCreated", "thread", "threadName", "processName", "process")  # fmt: skip


def levels() -> Mapping[str, int]:
    """The levels that this process has set, by logger; "" is the root."""
    known = dict(logging.root.manager.loggerDict)
    set_here = {name: one.level for name, one in known.items() if isinstance(one, logging.Logger) and one.level}
    return {"": logging.root.level, **set_here}


class Sender(logging.Handler):
    """Sends each record to the parent; `send` gets what `received` makes a record of, with the task's key."""

    def __init__(self, send: Callable[[Mapping[str, Any]], None], key: Callable[[], str | None]) -> None:
        super().__init__()
        self._send_up = send
        self._key = key

    def install(self, levels: Mapping[str, int]) -> None:
        """Take the lines of this process, unless it has log handlers already."""
        if logging.root.handlers:
            return
        for name, level in levels.items():
            logging.getLogger(name or None).setLevel(level)
        logging.root.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one."""
        try:
            told = {name: getattr(record, name, None) for name in KEPT}
            key = self._key()
            message = record.getMessage()
            told |= {"msg": message if key is None else f"task {key}: {message}", "task_key": key, **facts()}
            if record.exc_info:
                told["exc_text"] = logging.Formatter().formatException(record.exc_info)
            self._send_up(told)
        except Exception:  # noqa: BLE001 -- as every log handler does
            self.handleError(record)


def received(told: Mapping[str, Any]) -> logging.LogRecord:
    """The record that a child has sent."""
    return logging.makeLogRecord(dict(told))
