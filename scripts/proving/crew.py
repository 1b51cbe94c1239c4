"""The producer and worker processes of a chaos run. A worker that has died is replaced, as a supervisor would do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from proving.chaos_handlers import FOLDER
from proving.journal import Journal

EXECUTORS: Final = ("threads", "asyncio", "processes")
PRODUCERS: Final = 2
LOOK: Final = 0.1
PATIENCE: Final = 30.0
LONGEST_FREEZE: Final = 10


class Crew:
    """Everybody who uses the queue; gone with the `with` block."""

    def __init__(self, uri: str, folder: Path, journal: Journal, *, seed: int, rate: float) -> None:
        self._folder = folder
        self._journal = journal
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self._environment = {**os.environ, "MONGOQ_URI": uri, "PYTHONPATH": path, FOLDER: str(folder)}
        self._producers = [
            self._start("chaos_producer", f"producer-{number}", str(seed), str(rate / PRODUCERS))
            for number in range(PRODUCERS)
        ]
        self._guards: list[subprocess.Popen[bytes]] = []
        self._generation = 0
        self._changing = threading.Lock()
        self._workers = [self._start_worker(executor) for executor in EXECUTORS]
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._supervisor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._supervisor.join()
        everybody = [process for _, process in self._workers] + self._producers
        for process in everybody:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in everybody:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            process.wait()
        for guard in self._guards:
            with suppress(ProcessLookupError):
                os.killpg(guard.pid, signal.SIGKILL)  # the shell and its sleep
            guard.wait()

    def signal(self, index: int, number: signal.Signals) -> str:
        """Send a signal to a worker; its name in the record."""
        with self._changing:
            name, process = self._workers[index]
            process.send_signal(number)  # does nothing to one that has ended
            if number == signal.SIGSTOP:
                # A frozen process does not notice that this one was killed: somebody else lets it go on then.
                self._guards.append(_thaw_later(process.pid))
        return name

    def let_on(self, name: str) -> None:
        """Let a frozen worker go on, if it is still there."""
        with self._changing:
            for known, process in self._workers:
                if known == name:
                    process.send_signal(signal.SIGCONT)
            self._guards = [guard for guard in self._guards if guard.poll() is None]

    def stop_producing(self) -> None:
        """Ask the producers to come to an end, and wait for it."""
        for process in self._producers:
            if process.stdin:
                process.stdin.close()
        for process in self._producers:
            if process.wait(PATIENCE):
                raise RuntimeError(f"a producer failed: see {self._folder}")

    def _supervise(self) -> None:
        while not self._over.wait(LOOK):
            for index, (name, process) in enumerate(self._workers):
                if process.poll() is not None:
                    self._journal.write("died", target=name, code=process.returncode)
                    with self._changing:
                        self._workers[index] = self._start_worker(EXECUTORS[index])

    def _start_worker(self, executor: str) -> tuple[str, subprocess.Popen[bytes]]:
        self._generation += 1
        name = f"worker-{self._generation}-{executor}"
        return name, self._start("chaos_worker", name, executor)

    def _start(self, module: str, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"proving.{module}", name, *arguments],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C goes to this process, which then stops them
            )


def _thaw_later(pid: int) -> subprocess.Popen[bytes]:
    command = f"sleep {LONGEST_FREEZE}; kill -CONT {pid} 2>/dev/null"
    return subprocess.Popen(["/bin/sh", "-c", command], start_new_session=True)
