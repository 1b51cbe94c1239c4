"""Another queue, asked through a program of its own: `PROGRAM MODE COUNT`, its store's address in PEER_URI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.stores import Fresh, Missing
from benchmarks.trees import HERE

NODE_MODULES: Final = HERE / "build" / "peers" / "node_modules"
SAMPLES: Final = 100
UNCOUNTED: Final = 5


@dataclass(frozen=True, slots=True)
class Peer:
    """A queue beside mongoq."""

    name: str
    program: str
    fresh: Fresh
    share: float = 1.0
    """Of the tasks of a round: how many it is given, so that a slow one takes no minutes."""
    lacks: frozenset[str] = frozenset()
    """What it does not have."""

    def drained(self, mode: str, count: int, workers: int = 1, behind: int = 0) -> float:
        """Tasks/s of its workers, from the first start to the last, of a backlog of which `behind` tasks stay."""
        uri = self.fresh()
        self._tell(uri, "fill10" if behind else "fill", behind + count)
        told: list[dict[str, float]] = []
        with self._workers(uri, mode, count if behind else 0, workers) as heard:
            while sum(one["done"] for one in told) < count:
                told.append(next(heard))
        took = max(one["ended"] for one in told) - min(one["began"] for one in told)
        return count / took

    def enqueued(self, mode: str, count: int) -> float:
        """Tasks/s of one producer."""
        return float(self._tell(self.fresh(), mode, count)["rate"])

    def started(self) -> list[float]:
        """Milliseconds from the call that enqueues to the start of the handler, of a worker without other work."""
        uri, times = self.fresh(), dict[int, dict[str, float]]()
        with self._workers(uri, "stamp", 0, 1) as heard, self._workers(uri, "send", UNCOUNTED + SAMPLES, 1, 0) as sent:
            for lines in (sent, heard):
                for line in (next(lines) for _ in range(UNCOUNTED + SAMPLES)):
                    times.setdefault(int(line["number"]), {}).update(line)
        return [(times[number]["at"] - times[number]["sent"]) * 1_000 for number in sorted(times)][UNCOUNTED:]

    def _command(self, mode: str, count: int) -> list[str]:
        program = Path(__file__).with_name(self.program)
        return [sys.executable if program.suffix == ".py" else "node", str(program), mode, str(count)]

    def _tell(self, uri: str, mode: str, count: int) -> dict[str, Any]:
        done = subprocess.run(
            self._command(mode, count), env=_environment(uri), stdout=subprocess.PIPE, text=True, check=True
        )
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return said

    @contextmanager
    def _workers(
        self, uri: str, mode: str, count: int, workers: int, greetings: int = 1
    ) -> Iterator[Iterator[dict[str, float]]]:
        """Start processes that write to one pipe, a JSON object to a line; give what they say once all are up."""
        hears, says = os.pipe()
        with ExitStack() as stack:
            lines = stack.enter_context(os.fdopen(hears))
            for _ in range(workers):
                process = subprocess.Popen(
                    self._command(mode, count), env=_environment(uri), stdin=subprocess.PIPE, stdout=says
                )
                stack.callback(_end, process)
            os.close(says)
            heard = (json.loads(line) for line in lines)
            for _ in range(greetings * workers):
                next(heard)
            yield heard


def installed_packages(names: Sequence[str]) -> None:
    """Raise Missing where ./scripts/setup peers has not fetched them."""
    if absent := [name for name in names if not (NODE_MODULES / name).exists()]:
        raise Missing(f"{', '.join(absent)} (./scripts/setup peers)")


def _environment(uri: str) -> dict[str, str]:
    return {**os.environ, "PEER_URI": uri, "PEER_MODULES": str(NODE_MODULES)}


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
