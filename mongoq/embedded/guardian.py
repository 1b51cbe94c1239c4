"""The guardian: a small process that starts an embedded mongod and stops it after its last user.

It works however a user ends. Each user holds `users.lock` shared, and the guardian waits for it exclusively; the
kernel releases the lock of a killed process. `start.lock` serialises the opening of a folder and the stop of its
server, so that no user joins a server that is stopping. The guardian holds `guardian.lock` while it lives; without
that lock `server.json` is stale.

It runs as a script, by its path and with the standard library alone: `python guardian.py FOLDER MONGOD PORT`. So it
starts in 20 ms, stays small and imports nothing from the working directory.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["Home", "try_lock"]

STOP_SECONDS = 20
"""Seconds that mongod may take to stop before it is killed."""

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Home:
    """The layout of a server's folder."""

    folder: Path
    """The folder itself, absolute."""

    @property
    def start_lock(self) -> Path:
        """Locked exclusively to open or stop the server; the file also marks a folder as mongoq's."""
        return self.folder / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Locked shared by every user of the server."""
        return self.folder / "users.lock"

    @property
    def guardian_lock(self) -> Path:
        """Locked exclusively by the guardian while it lives."""
        return self.folder / "guardian.lock"

    @property
    def state(self) -> Path:
        """Port and process ids of the running server; stale unless a guardian lives."""
        return self.folder / "server.json"

    @property
    def port(self) -> Path:
        """The port of the last start, used again if it is free."""
        return self.folder / "port"

    @property
    def data(self) -> Path:
        """The data of mongod."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The log of mongod and its guardian since the last start."""
        return self.folder / "mongod.log"

    def open_log(self) -> BinaryIO:
        """Open the log for appending; other users of the machine cannot read it."""
        return open(self.log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600))


def try_lock(fd: int, kind: int) -> bool:
    """Take the lock `kind` on an open file; False when another process holds it."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def mongod_command(home: Home, mongod: str, port: int) -> list[str]:
    """Build mongod's command line: a small replica set member that only this machine can reach."""
    parameters = {
        # With the default of 300 s a claim walks over the deleted index entries of the last minutes: 170 to 370 µs
        # per task in batches of 10, and 8 µs with 0 (6.0.5).
        "minSnapshotHistoryWindowInSeconds": "0",
        "diagnosticDataCollectionEnabled": "false",
        # By default a primary waits up to 15 s for a successor, which a single node does not have.
        "shutdownTimeoutMillisForSignaledShutdown": "100",
    }
    command = [mongod, "--replSet", "rs", "--dbpath", str(home.data), "--port", str(port)]
    command += ["--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"]
    command += ["--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "256"]
    # By default three journal files of 100 MB are allocated in advance: an empty folder takes 302 MB, now 34.
    command += ["--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=32MB)"]
    for name, value in parameters.items():
        command += ["--setParameter", f"{name}={value}"]
    return command


def _die_with_parent() -> Callable[[], None] | None:
    """Make the function that mongod calls before it starts, to be killed with its guardian; None except on Linux."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    guardian = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guardian:  # the guardian died before the line above
            os._exit(1)

    return prepare


def _stop_after_the_last_user(home: Home, mongod: subprocess.Popen[bytes]) -> None:
    """Wait until no user is left, then stop the server while no new user can join."""
    users = os.open(home.users_lock, os.O_RDWR)
    start = os.open(home.start_lock, os.O_RDWR)
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)  # the last user is gone
        fcntl.flock(users, fcntl.LOCK_UN)
        fcntl.flock(start, fcntl.LOCK_EX)
        if try_lock(users, fcntl.LOCK_EX):
            break
        fcntl.flock(start, fcntl.LOCK_UN)  # a user joined in between
    mongod.terminate()
    time.sleep(STOP_SECONDS)  # this process, and with it this thread, ends with mongod
    mongod.kill()


def _write_state(home: Home, port: int, mongod: int) -> None:
    draft = home.state.with_suffix(".draft")
    draft.write_text(json.dumps({"port": port, "mongod": mongod, "guardian": os.getpid()}))
    draft.replace(home.state)


def _guard(home: Home, mongod: str, port: int) -> None:
    """Run mongod until its last user is gone or it ends by itself."""
    with home.open_log() as log:
        process = subprocess.Popen(
            mongod_command(home, mongod, port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            preexec_fn=_die_with_parent(),  # noqa: PLW1509  one thread so far
        )
    try:
        for wish in (signal.SIGTERM, signal.SIGINT):
            signal.signal(wish, lambda _number, _frame: process.terminate())
        _write_state(home, port, process.pid)
        watch = threading.Thread(target=_stop_after_the_last_user, args=(home, process), daemon=True)
        watch.start()
        process.wait()
    finally:
        process.kill()  # no effect if it has ended
        home.state.unlink(missing_ok=True)


def main(arguments: list[str]) -> None:
    """Take the guardian's lock, fork a child that guards, and exit.

    The opener waits for this process. When it has exited with 0 the child holds the lock, which a fork shares. The
    child is adopted by init, so that no user is left with a zombie.
    """
    folder, mongod, port = arguments
    home = Home(Path(folder))
    lock = os.open(home.guardian_lock, os.O_RDWR | os.O_CREAT, 0o600)
    if not try_lock(lock, fcntl.LOCK_EX):
        sys.exit("another guardian holds guardian.lock")
    if os.fork():
        os._exit(0)
    os.chdir("/")
    _guard(home, mongod, int(port))


if __name__ == "__main__":
    main(sys.argv[1:])
