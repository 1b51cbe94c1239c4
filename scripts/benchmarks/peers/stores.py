"""The stores of other queues, each in a temporary folder on a free port, gone with the `with` block."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

Fresh = Callable[[], str]
"""Give the URI of an empty database."""
PATIENCE: Final = 30.0
PERSISTED: Final = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")


class Missing(Exception):
    """What a peer needs is not on this machine."""


@contextmanager
def postgres() -> Iterator[Fresh]:
    """A PostgreSQL as it is installed: it commits synchronously."""
    bins = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "missing").parent]
    if not (bins[-1] / "initdb").exists():
        raise Missing("PostgreSQL (apt-get install postgresql)")
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # it refuses root
    with tempfile.TemporaryDirectory(prefix="mongoq-peers-") as name:
        if user:
            shutil.chown(name, "postgres", "postgres")
        data, port = f"{name}/data", _free_port()
        subprocess.run([bins[-1] / "initdb", "-D", data, "-U", "bench", "-A", "trust"], check=True, **_QUIET, **user)
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={name}"]
        with _running([bins[-1] / "postgres", "-D", data, "-p", str(port), *options], port, **user):

            def fresh() -> str:
                database = f"bench_{secrets.token_hex(4)}"
                where = ["-h", "127.0.0.1", "-p", str(port), "-U", "bench"]
                subprocess.run([bins[-1] / "createdb", *where, database], check=True, **_QUIET)
                return f"postgres://bench@127.0.0.1:{port}/{database}"

            yield fresh


@contextmanager
def redis() -> Iterator[Fresh]:
    """A Redis that appends to its file, and syncs it once a second."""
    if not (server := shutil.which("redis-server")):
        raise Missing("Redis (apt-get install redis-server)")
    with tempfile.TemporaryDirectory(prefix="mongoq-peers-") as name:
        port = _free_port()
        with _running([server, "--port", str(port), "--dir", name, *PERSISTED], port):

            def fresh() -> str:
                subprocess.run([Path(server).with_name("redis-cli"), "-p", str(port), "flushall"], check=True, **_QUIET)
                return f"redis://127.0.0.1:{port}"

            yield fresh


_QUIET: Final[dict[str, Any]] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@contextmanager
def _running(command: Sequence[str | Path], port: int, **user: Any) -> Iterator[None]:
    process = subprocess.Popen(command, start_new_session=True, **_QUIET, **user)
    try:
        deadline = time.monotonic() + PATIENCE
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{Path(command[0]).name} does not start")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
