"""Worker processes on a cluster, and what they wrote down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from proving.fault_worker import Spec

__all__ = ["FaultFleet", "FaultWorker"]


class FaultWorker:
    """One process of `fault_worker`."""

    def __init__(self, uri: str, spec: Spec) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self._journal = Path(spec.journal)
        with self._journal.with_suffix(".log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "proving.fault_worker", json.dumps(asdict(spec))],
                env={**os.environ, "PYTHONPATH": path, "MONGOQ_URI": uri},
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, or is frozen."""
        return self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it is stopped, as by SIGSTOP."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "T"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int:
        """Wait for its end; its exit code."""
        return self._process.wait(timeout)

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it wrote down, of one kind or all."""
        if not self._journal.exists():
            return []
        whole = self._journal.read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def keys(self, event: str) -> Counter[str]:
        """How often it wrote an event of each task down."""
        return Counter(key for line in self.lines(event) for key in line["keys"])

    def completed(self) -> list[str]:
        """The keys of the tasks whose completion was acknowledged to it."""
        endings = (zip(line["keys"], line["verdicts"], strict=True) for line in self.lines("tasks.finished"))
        return [key for ending in endings for key, verdict in ending if verdict == "complete"]

    def log(self) -> str:
        """What it said on stderr."""
        return self._journal.with_suffix(".log").read_text()

    def close(self) -> None:
        """Kill it where it is left."""
        if self.alive:
            self._process.kill()
        self._process.wait(10)


class FaultFleet:
    """Worker processes that end with the `with` block."""

    def __init__(self, uri: str, folder: Path) -> None:
        self._uri = uri
        self._folder = folder
        self.workers: list[FaultWorker] = []

    def start(self, namespace: str, *, uri: str | None = None, **spec: Any) -> FaultWorker:
        """Start a worker; what else a `Spec` says may be given."""
        journal = self._folder / f"worker-{len(self.workers)}"
        worker = FaultWorker(uri or self._uri, Spec(namespace=namespace, journal=str(journal), **spec))
        self.workers.append(worker)
        return worker

    def keys(self, event: str) -> Counter[str]:
        """How often any of them wrote an event of each task down."""
        return sum((worker.keys(event) for worker in self.workers), Counter())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.close()
