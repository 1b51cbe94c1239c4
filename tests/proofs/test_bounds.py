"""Eight processes enqueue as fast as they can: a bounded queue holds its bound within 5 %, full and while it drains."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer

pytestmark = pytest.mark.long  # it looks at the clock while many processes share the machine

PROGRAM: Final = Path(__file__).with_name("filler.py")
PROCESSES: Final = 8
FILLING: Final = 2.0
DRAINING: Final = 3.0


def say(crew: list[Any], line: str) -> None:
    for one in crew:
        one.stdin.write(f"{line}\n")
        one.stdin.flush()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("most, mode", [(100, "one"), (2_000, "many")])
def test_eight_producers_hold_the_bound_within_five_percent(
    server: EmbeddedServer, until: Callable[..., None], most: int, mode: str
) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, str(PROGRAM), server.uri, namespace, str(most), mode]
    with Queue(server.uri, namespace=namespace, grace=10, keep_completed=3_600) as queue:
        queue.init()
        crew = [subprocess.Popen(command, **pipes) for _ in range(PROCESSES)]
        try:
            for one in crew:
                assert one.stdout is not None
                assert one.stdout.readline() == "ready\n"
            say(crew, "begin")
            until(lambda: queue.count(state="ready") >= 0.95 * most, why="it is filled")
            full = depths(queue, FILLING)
            # Slow enough to leave the bound in force, quick enough to need new counts all the time.
            handle = queue.start(lambda _: threading.Event().wait(0.002), workers=2)
            draining = depths(queue, DRAINING)
            say(crew, "end")
            made = sum(int(one.communicate(timeout=60)[0]) for one in crew)
        finally:
            for one in crew:
                one.kill()
                one.wait()
        until(lambda: not queue.size(), timeout=120, why="all has run")
        handle.stop()
        done = queue.count(state="completed")
    assert made == done, "what was told to be enqueued, and nothing else, has run"
    assert max(full + draining) <= 1.05 * most
    assert min(full) >= 0.95 * most
    assert sorted(draining)[len(draining) // 2] >= 0.2 * most, "room is found again while it drains"
    print(  # noqa: T201
        f"bounds: max_size {most}, {mode}: {min(full)} to {max(full)} full, "
        f"{sorted(draining)[len(draining) // 2]} in the median of draining {done - max(full)} tasks"
    )


def depths(queue: Queue, seconds: float) -> list[int]:
    """How many tasks waited, looked at again and again."""
    found = []
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        found.append(queue.count(state="ready"))
        threading.Event().wait(0.01)
    return found
