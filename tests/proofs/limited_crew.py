"""Processes that run tasks under limits, of which one after the other is killed, frozen and replaced."""

from __future__ import annotations

import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

PROGRAM: Final = Path(__file__).with_name("limited_worker.py")


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

    def meddle(self, chance: random.Random, longest: float) -> None:
        """Kill one, freeze another for a while, and start one more."""
        self.kill(chance.randrange(len(self.present)))
        frozen, _ = self.present[chance.randrange(len(self.present))]
        frozen.send_signal(signal.SIGSTOP)
        threading.Event().wait(chance.uniform(0.2, longest))
        frozen.send_signal(signal.SIGCONT)
        self.start()

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
