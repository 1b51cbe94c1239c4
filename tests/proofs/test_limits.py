"""Eight processes under limits, some of which are killed or frozen: never one too many at once, and all is done."""

from __future__ import annotations

import random
import secrets
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer

pytestmark = pytest.mark.long  # leases have to run out

PROGRAM: Final = Path(__file__).with_name("limited_worker.py")
PROCESSES: Final = 8
GROUPS: Final = 10


class Crew:
    """Worker processes, of which one after the other is killed and replaced."""

    def __init__(self, uri: str, namespace: str, folder: Path) -> None:
        self._command = [sys.executable, str(PROGRAM), uri, namespace]
        self._folder = folder
        self.present: list[tuple[Any, Path]] = []
        self.killed: dict[Path, float] = {}
        """By the file of a process: when it was dead."""

    def start(self) -> None:
        """Start one more, and wait until it works."""
        path = self._folder / secrets.token_hex(4)
        one = subprocess.Popen([*self._command, str(path)], stdout=subprocess.PIPE, text=True)
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        one.stdout.close()
        self.present.append((one, path))

    def kill(self, number: int) -> None:
        """Kill one."""
        one, path = self.present.pop(number)
        one.kill()
        one.wait()
        self.killed[path] = time.monotonic()

    def end(self) -> None:
        """Stop all."""
        for one, path in self.present:
            one.send_signal(signal.SIGCONT)
            one.terminate()
            one.wait(30)
            self.killed[path] = time.monotonic()

    def runs(self) -> dict[str, list[tuple[float, int]]]:
        """The beginnings and ends of runs in each group; that of a process that was killed ended with it."""
        changes: dict[str, list[tuple[float, int]]] = defaultdict(list)
        for path, dead in self.killed.items():
            running: dict[tuple[str, str], int] = defaultdict(int)
            for line in path.read_text().splitlines() if path.exists() else ():
                what, group, number, at = line.split()
                changes[group].append((float(at), 1 if what == "begin" else -1))
                running[group, number] += 1 if what == "begin" else -1
            for (group, _), left in running.items():
                changes[group] += [(dead, -1)] * left
        return changes


def most_at_once(changes: list[tuple[float, int]]) -> int:
    present = most = 0
    for _, step in sorted(changes):
        present += step
        most = max(most, present)
    return most


@pytest.mark.parametrize("order", ["priority", "fifo"])
def test_never_more_run_at_once_than_the_limit_whatever_is_killed(
    server: EmbeddedServer, tmp_path: Path, until: Callable[..., None], order: str
) -> None:
    chance, most = random.Random(7), 1 if order == "fifo" else 3  # noqa: S311 -- no secret
    namespace = f"t-{secrets.token_hex(4)}"
    with Queue(server.uri, namespace=namespace, lease=2) as queue:
        queue.limit("group", concurrency=most, by="group", order=order)
        tasks = (
            {"group": f"g{n % GROUPS}", "n": n, "seconds": chance.choice([0.001, 0.01, 0.05])} for n in range(2_000)
        )
        queue.new_many(tasks, limits="group")
        crew = Crew(server.uri, namespace, tmp_path)
        try:
            for _ in range(PROCESSES):
                crew.start()
            for _ in range(12):
                if queue.empty():
                    break
                crew.kill(chance.randrange(PROCESSES))
                frozen, _ = crew.present[chance.randrange(PROCESSES - 1)]
                frozen.send_signal(signal.SIGSTOP)
                time.sleep(chance.uniform(0.2, 0.8))  # shorter than a lease
                frozen.send_signal(signal.SIGCONT)
                crew.start()
            until(queue.empty, 240, "all is done, and no slot is left behind")
        finally:
            crew.end()
        assert queue.limit_state("group") == []
    runs = crew.runs()
    assert len(runs) == GROUPS
    assert max(map(most_at_once, runs.values())) == most
    if order == "fifo":
        for group, changes in firsts(tmp_path).items():
            assert changes == sorted(changes), group


def firsts(folder: Path) -> dict[str, list[int]]:
    """The tasks of each group in the order in which they first began."""
    begun: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for path in folder.iterdir():
        for line in path.read_text().splitlines():
            what, group, number, at = line.split()
            if what == "begin":
                begun[group].append((float(at), int(number)))
    return {group: list(dict.fromkeys(number for _, number in sorted(some))) for group, some in begun.items()}
