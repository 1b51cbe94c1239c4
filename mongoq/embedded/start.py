"""Start the server of a folder, or join the running one.

The caller holds the folder's `start.lock`, so one process decides at a time. State that is found is verified: a state
file counts only while a guardian holds its lock, and a port only if the server there reports this folder as its data
path. The opener initiates the replica set, not the guardian, and every step can be repeated: if an opener is killed,
the next one completes its work.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mongoq.core.errors import StorageUnavailable
from mongoq.embedded import guardian
from mongoq.embedded.guardian import Home, try_lock
from mongoq.storage.drivers.replica_set import made_primary

__all__ = ["Running", "bring_up", "pause"]

LIMIT_SECONDS = 60.0
"""Seconds that a start may take, recovery after a crash included."""

_STARTS = 3
_TAKEN = "Address already in use"
_log = logging.getLogger("mongoq.embedded")


class Running(NamedTuple):
    """A running server, as its state file describes it."""

    port: int
    """The port on 127.0.0.1."""
    mongod: int
    """The process id of mongod."""
    guardian: int
    """The process id of its guardian."""


def pause() -> None:
    """Wait one polling interval, 10 ms."""
    threading.Event().wait(0.01)


def bring_up(home: Home, find_mongod: Callable[[], Path]) -> Running:
    """Start the folder's server if none runs, and return when it is a writable primary.

    Raises StorageUnavailable with mongod's own reason when it does not start.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    starts = 0
    while time.monotonic() < deadline:
        if _guarded(home):
            running = _read_state(home)
            if running and _is_ready(home, running.port):
                _log.info("mongod is ready: folder %s, port %d, pid %d", home.folder, running.port, running.mongod)
                return running
        else:
            if starts and (starts == _STARTS or _TAKEN not in _log_text(home)):
                raise StorageUnavailable(f"mongod did not start: {_reason(home)} (see {home.log})")
            _spawn(home, find_mongod(), _choose_port(home, fresh=starts > 0))
            starts += 1
        pause()
    raise StorageUnavailable(f"mongod was not ready within {LIMIT_SECONDS:g} s (see {home.log})")


def _guarded(home: Home) -> bool:
    """Whether a guardian lives."""
    lock = os.open(home.guardian_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return not try_lock(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _read_state(home: Home) -> Running | None:
    try:
        return Running(**json.loads(home.state.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _spawn(home: Home, mongod: Path, port: int) -> None:
    """Start a guardian, which holds its lock when this returns."""
    _end_orphan(home)
    home.data.mkdir(mode=0o700, exist_ok=True)
    home.port.touch(mode=0o600)
    home.port.write_text(str(port))
    if home.log.exists():
        home.log.replace(home.log.with_suffix(".log.old"))
    script = str(Path(guardian.__file__).resolve())
    with home.open_log() as log:
        subprocess.run(
            [sys.executable, "-I", "-S", script, str(home.folder), str(mongod), str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal must not reach the guardian or mongod
            umask=0o077,
            check=False,
        )
    _log.info("mongod starts: folder %s, port %d, program %s", home.folder, port, mongod)


def _end_orphan(home: Home) -> None:
    """Kill a mongod whose guardian was killed, and wait until it is gone. Its journal keeps the data."""
    left = _read_state(home)
    home.state.unlink(missing_ok=True)
    deadline = time.monotonic() + 10
    while left and time.monotonic() < deadline:
        command = _command_line(left.mongod)
        if command is None or (command and str(home.data) not in command):
            return  # it is gone, and another process may have its pid by now
        if command:
            with suppress(ProcessLookupError):
                os.kill(left.mongod, signal.SIGKILL)
        pause()


def _command_line(pid: int) -> str | None:
    """Read a process's command line: empty while the process is dying, None when it does not exist.

    A dying process loses its command line first, and its port and its locks with its last thread.
    """
    if sys.platform != "linux":
        ps = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        return subprocess.run(ps, capture_output=True, text=True, check=False).stdout or None
    process = Path(f"/proc/{pid}")
    try:
        command = (process / "cmdline").read_text(errors="replace")
        state, *numbers = (process / "stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" and int(numbers[16]) <= 1 else command
    except OSError:
        return None


def _choose_port(home: Home, *, fresh: bool) -> int:
    """Choose the port of the last start if it is free, so that clients reconnect after a crash; else any free port."""
    try:
        last = 0 if fresh else int(home.port.read_text())
    except (OSError, ValueError):
        last = 0
    # The kernel keeps the port of a killed mongod for up to 5 ms after its last thread, as measured.
    for _ in range(30 if last else 0):
        if _is_free(last):
            return last
        pause()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def _is_ready(home: Home, port: int) -> bool:
    """Whether the folder's server is a writable primary, after what it takes to make it one."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return made_primary(f"127.0.0.1:{port}", str(home.data), pause)


def _log_text(home: Home) -> str:
    return home.log.read_text(errors="replace")


def _reason(home: Home) -> str:
    """Find the reason in the log: the last error of mongod, else the last plain line."""
    plain, errors = [], []
    for line in _log_text(home).splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            plain.append(line.strip())
            continue
        if entry.get("s") in ("E", "F"):
            error = entry.get("attr", {}).get("error", "")
            errors.append(f"{entry['msg']}: {error.get('errmsg') if isinstance(error, dict) else error}")
    said = errors[-1:] or [line for line in plain if line and not line.startswith("try ")][-1:]
    return (said or ["it said nothing"])[0]
