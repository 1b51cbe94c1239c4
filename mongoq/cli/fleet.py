"""Worker processes that a command starts, watches and stops."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mongoq import MongoqError
from mongoq.cli.options import Place

PARENT: Final = "MONGOQ_DEMO_PARENT"
"""The variable with the pid of the process that started a worker."""


class FleetError(MongoqError):
    """A worker process ended by itself."""


class Fleet:
    """Worker processes that end with the `with` block."""

    def __init__(self, count: int, place: Place, folder: Path, command: Sequence[str]) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._count = count
        self._command = command
        self._log = folder / "workers.log"
        # Not as arguments: other users of the machine could read a password there.
        self._environment = {
            **os.environ,
            "MONGOQ_URI": place.given or "",
            "MONGOQ_NAMESPACE": place.namespace,
            PARENT: str(os.getpid()),
        }

    def check(self) -> None:
        """Raise FleetError if a process has ended."""
        for process in self.processes:
            code = process.poll()
            if code is not None:
                said = self._log.read_text(errors="replace").strip().splitlines()
                raise FleetError(f"a worker process ended with {code}: {said[-1] if said else 'it said nothing'}")

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            for _ in range(self._count):
                self.processes.append(
                    subprocess.Popen(
                        self._command,
                        env=self._environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,  # Ctrl-C reaches only this process, which then stops them
                    )
                )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()  # no effect if it has ended
            process.wait()
