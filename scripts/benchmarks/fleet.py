"""Worker processes of a benchmark: started together, asked over pipes, gone with the `with` block."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.worker import FACTS, GO

PATIENCE = 180.0
"""Seconds without a word after which a fleet is given up."""


class Fleet:
    """Processes of `benchmarks.worker`, or of another `program` like it, each told by a dataclass what to do.

    All of them write to one pipe: a line is one JSON object, whole.
    """

    def __init__(self, uri: str, specs: Sequence[Any], program: str = "benchmarks.worker") -> None:
        self._uri = uri
        self._specs = specs
        self._program = program
        self._processes: list[subprocess.Popen[bytes]] = []
        self._hears, self._says = os.pipe()
        self._heard = b""

    def __enter__(self) -> Self:
        try:
            for spec in self._specs:
                self._start(spec)
            for _ in self._specs:
                self.hear()  # connected
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, spec: Any) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-m", self._program, json.dumps(asdict(spec))],
            env={**os.environ, "MONGOQ_URI": self._uri, "PYTHONPATH": path},  # `ps` would show a password
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=self._says,
            start_new_session=True,  # Ctrl-C goes to this process, which then stops them
        )
        self._processes.append(process)

    def go(self) -> None:
        """Let all begin."""
        self._say(GO)

    def facts(self) -> dict[str, Any]:
        """What a fleet of one knows about itself: now, done, commands, cpu, rss."""
        self._say(FACTS)
        return self.hear()

    def all_facts(self) -> list[dict[str, Any]]:
        """What each of them knows, in no order."""
        self._say(FACTS)
        return [self.hear() for _ in self._specs]

    def hear(self) -> dict[str, Any]:
        """Give the next thing that one of them says."""
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self._heard:
            if select.select([self._hears], [], [], 0.2)[0]:
                self._heard += os.read(self._hears, 65_536)
            elif time.monotonic() > deadline or any(process.poll() for process in self._processes):
                raise RuntimeError("a worker process of the benchmark failed, or says nothing")
        line, _, self._heard = self._heard.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        """End them, kindly at first."""
        for process in self._processes:
            if process.stdin:
                process.stdin.close()
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
        for process in self._processes:
            process.kill()  # does nothing to one that has ended
            process.wait()
        for end in (self._hears, self._says):
            with suppress(OSError):
                os.close(end)

    def _say(self, word: bytes) -> None:
        for process in self._processes:
            if process.stdin:
                process.stdin.write(word)
