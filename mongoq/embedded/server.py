"""An embedded MongoDB for development, demos and tests: a replica set of one node, in a folder.

Processes that name the same folder share one server. It stops after the last of them, even if that one is killed (see
`guardian`). The folder is private to its user. The server listens on 127.0.0.1 without a password, so every program on
this machine can reach it. Do not use it in production, or for data that matters.

mongod is a program of MongoDB, Inc., under its own licence. mongoq does not contain it.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from mongoq.core.errors import ConfigurationError, Fault, StorageUnavailable
from mongoq.core.host.environment import setting
from mongoq.embedded.guardian import STOP_SECONDS, Home, try_lock
from mongoq.embedded.start import LIMIT_SECONDS, Running, bring_up, pause

__all__ = ["EmbeddedServer", "find_mongod", "holds_server", "open_embedded"]

NONE_FOUND = (
    "no mongod was found. Three ways to get one: install mongoq[embedded] (Linux on x86_64); "
    "set MONGOQ_MONGOD to the path of a mongod; put mongod on the PATH"
)


def find_mongod() -> Path:
    """Find the mongod to run: MONGOQ_MONGOD, else the wheel of `mongoq[embedded]`, else the PATH.

    Raises ConfigurationError when MONGOQ_MONGOD is not a program, and when none is found.
    """
    named = setting("MONGOQ_MONGOD", os.environ.get("MONGOQ_MONGOD", ""))
    if named:
        if not _is_program(Path(named)):
            raise ConfigurationError([Fault("MONGOQ_MONGOD", repr(named), "an executable file")])
        return Path(named).absolute()
    on_path = shutil.which("mongod")
    found = _in_wheel() or (Path(on_path).absolute() if on_path else None)
    if found is None:
        raise ConfigurationError(NONE_FOUND)
    return found


def _in_wheel() -> Path | None:
    """Find the wheel's mongod without importing `fiftyone`, which may be the large package of that name."""
    spec = importlib.util.find_spec("fiftyone")
    places = (spec and spec.submodule_search_locations) or ()
    candidates = (Path(place) / "db" / "bin" / "mongod" for place in places)
    return next(filter(_is_program, candidates), None)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


class EmbeddedServer:
    """One user of a folder's server. Close it, or leave its `with` block, to stop using the server."""

    def __init__(self, folder: Path, running: Running, users_lock: int) -> None:
        self.folder = folder
        """The folder of its data, log and locks."""
        self.uri = f"mongodb://127.0.0.1:{running.port}/?directConnection=true"
        """The URI for clients. The connection is direct, so the address stored in the replica set does not matter."""
        self.pid = running.mongod
        """The process id of mongod."""
        self.guardian_pid = running.guardian
        """The process id of the guardian that stops it."""
        self._users_lock: int | None = users_lock
        self._closing = threading.Lock()

    def close(self) -> None:
        """Stop using the server, which stops soon after its last user. It may be called twice."""
        with self._closing:
            lock, self._users_lock = self._users_lock, None
        if lock is not None:
            os.close(lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EmbeddedServer({str(self.folder)!r}, uri={self.uri!r})"


def open_embedded(folder: str | os.PathLike[str]) -> EmbeddedServer:
    """Start the server of `folder`, or join the running one, and return when it accepts writes.

    The folder is created if it does not exist. The server takes its old port if that is free. A child made by `fork`
    and its parent count as one user, until both are gone.

    Raises ConfigurationError when the folder cannot hold a server or no mongod is found, and StorageUnavailable with
    mongod's own reason when the server does not start.
    """
    home = Home(_private(Path(folder)))
    try:
        with _only_opener(home):
            users_lock = os.open(home.users_lock, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(users_lock, fcntl.LOCK_SH)
                return EmbeddedServer(home.folder, bring_up(home, find_mongod), users_lock)
            except BaseException:
                os.close(users_lock)
                raise
    except OSError as error:
        raise StorageUnavailable(f"the server in {home.folder} could not be opened: {error}") from error


def holds_server(folder: str | os.PathLike[str]) -> bool:
    """Whether a server was ever opened in the folder; creates nothing."""
    try:
        return Home(Path(folder).expanduser().resolve()).start_lock.exists()
    except (OSError, RuntimeError, ValueError):
        return False


def _private(folder: Path) -> Path:
    """Create the folder, or check that it is empty or mongoq's own; close it to other users of the machine."""
    wanted = "a folder of yours that is empty or was made by mongoq"
    try:
        home = Home(folder.expanduser().resolve())
        home.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In this order, because a process that creates the folder at the same time first makes the start lock.
        ours = not any(home.folder.iterdir()) or home.start_lock.exists()
        if ours and home.folder.stat().st_uid == os.geteuid():
            home.folder.chmod(0o700)
            os.close(os.open(home.start_lock, os.O_RDWR | os.O_CREAT, 0o600))
            return home.folder
    except (OSError, RuntimeError, ValueError) as error:
        wanted = f"a folder that mongoq may write ({error})"
        raise ConfigurationError([Fault("folder", repr(str(folder)), wanted)]) from error
    raise ConfigurationError([Fault("folder", repr(str(folder)), wanted)])


@contextmanager
def _only_opener(home: Home) -> Iterator[None]:
    """Hold the folder's start lock, so that no other process opens or stops its server."""
    lock = os.open(home.start_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + LIMIT_SECONDS + STOP_SECONDS
        while not try_lock(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise StorageUnavailable(f"another process has been opening {home.folder} for too long")
            pause()
        yield
        fcntl.flock(lock, fcntl.LOCK_UN)  # a child that another thread forked meanwhile shares the lock
    finally:
        os.close(lock)
