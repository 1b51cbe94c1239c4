"""Log lines as JSON: one object in a line, with the task of a handler."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final

KNOWN: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "task_errors"})
"""What each record has; all else was given by `extra=`. The errors of a task are in its message."""


class JsonLines(logging.Formatter):
    """Writes time, level, logger and message, what was given by `extra=`, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Format the record in one line."""
        at = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in KNOWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, default=str)
