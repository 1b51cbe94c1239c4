"""Celery on MongoDB: `celery_app.py MODE COUNT` as the programs in Node, the server's address in PEER_URI."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from celery import Celery

URI: Final = os.environ["PEER_URI"]
BEST: Final = (
    "--pool",
    "threads",
    "--concurrency",
    "4",
    "--prefetch-multiplier",
    "100",
    "--without-gossip",
    "--without-mingle",
)
NEXT_LOOK, SETTLED = 0.05, 2.0

app = Celery("celery_app", broker=URI)
app.conf.task_ignore_result = True
app.conf.broker_connection_retry_on_startup = True


@app.task  # type: ignore[untyped-decorator]
def noop(number: int) -> None:
    """Note when it was started: one short write to a file that all children of a worker append to."""
    with Path(os.environ["PEER_STARTS"]).open("ab", buffering=0) as file:
        file.write(f"{number} {time.monotonic()}\n".encode())


def say(what: dict[str, Any]) -> None:
    """Tell the benchmark."""
    print(json.dumps(what), flush=True)


def work(options: tuple[str, ...], *, stamp: bool = False) -> None:
    """Run a worker until stdin is closed; tell of what it did once it has settled, or of each start."""
    with tempfile.TemporaryDirectory() as folder:
        starts = Path(folder, "starts")
        starts.touch()
        command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--loglevel", "CRITICAL", *options]
        where = {**os.environ, "PEER_STARTS": str(starts)}
        quiet = subprocess.DEVNULL
        worker = subprocess.Popen(
            command, cwd=Path(__file__).parent, env=where, stdin=quiet, stdout=quiet, stderr=quiet
        )
        say({})
        try:
            _tell(starts, worker, stamp=stamp)
        finally:
            worker.terminate()
            worker.wait(30)


def _tell(starts: Path, worker: subprocess.Popen[bytes], *, stamp: bool) -> None:
    told = 0
    while worker.poll() is None and not select.select([sys.stdin], [], [], NEXT_LOOK)[0]:
        lines = [line.split() for line in starts.read_text().splitlines()]
        if stamp:
            for number, at in lines[told:]:
                say({"number": int(number), "at": float(at)})
            told = len(lines)
        elif len(lines) > told and time.monotonic() - float(lines[-1][1]) > SETTLED:
            told = len(lines)
            times = [float(at) for _, at in lines]
            say({"done": told, "began": min(times), "ended": max(times)})


def one(count: int) -> None:
    """Enqueue one after the other."""
    began = time.monotonic()
    for number in range(count):
        noop.delay(number)
    say({"rate": count / (time.monotonic() - began)})


def send(count: int) -> None:
    """Enqueue at human pace, and tell when each was sent."""
    for number in range(count):
        time.sleep(random.uniform(0.05, 0.15))  # noqa: S311 -- no secret
        say({"number": number, "sent": time.monotonic()})
        noop.delay(number)


def fill(count: int) -> None:
    """Make a backlog; not measured."""
    with app.producer_or_acquire() as producer:
        for number in range(count):
            noop.apply_async((number,), producer=producer)
    say({})


if __name__ == "__main__":
    mode, size = sys.argv[1], int(sys.argv[2])
    if mode in {"installed", "best", "stamp"}:
        work(() if mode == "installed" else BEST, stamp=mode == "stamp")
    else:
        {"one": one, "send": send, "fill": fill}[mode](size)
