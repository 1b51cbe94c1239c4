"""Eight processes ask for the same work at once: no request is lost, none is overwritten by an older one."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from mongoq import Queue, Task
from mongoq.embedded.server import EmbeddedServer

pytestmark = pytest.mark.long  # it looks at the clock while many processes share the machine

PROGRAM: Final = Path(__file__).with_name("debouncer.py")
PROCESSES: Final = 8


class Request(NamedTuple):
    """One call of `new`."""

    sent: float
    returned: float


class Run(NamedTuple):
    """One run of a handler."""

    began: float
    sent: float
    """When the request was sent whose tags it saw."""


def storm(uri: str, namespace: str, mode: str, delay: float, rounds: int) -> dict[str, list[Request]]:
    """Have all processes send in the same rounds; the requests by their `unique` value."""
    command = [sys.executable, str(PROGRAM), uri, namespace, mode, str(delay), str(rounds)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    crew = [subprocess.Popen(command, **pipes) for _ in range(PROCESSES)]
    requests: dict[str, list[Request]] = defaultdict(list)
    try:
        for one in crew:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        begin = time.monotonic() + 0.2
        for one in crew:
            assert one.stdin is not None
            one.stdin.write(f"{begin}\n")
            one.stdin.flush()
        for one in crew:
            told, _ = one.communicate(timeout=120)
            assert one.returncode == 0
            for number, sent, returned in json.loads(told):
                requests[f"u{number}"].append(Request(sent, returned))
    finally:
        for one in crew:
            one.kill()
            one.wait()
    return requests


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", [40, pytest.param(2_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("mode, delay", [("replace", 0.0), ("extend", 0.0), ("again", 0.0), ("extend", 0.3)])
def test_no_request_of_eight_processes_is_lost(
    server: EmbeddedServer, until: Callable[..., None], mode: str, delay: float, rounds: int
) -> None:
    runs: dict[str, list[Run]] = defaultdict(list)

    def handler(task: Task) -> None:
        runs[task.unique or ""].append(Run(time.monotonic(), task.tags["sent"]))
        threading.Event().wait(0.005)  # some requests come while it runs

    namespace = f"t-{secrets.token_hex(4)}"
    with Queue(server.uri, namespace=namespace, grace=5) as queue:
        queue.init()
        queue.start(handler, workers=4)
        requests = storm(server.uri, namespace, mode, delay, rounds)
        until(lambda: not queue.size(), why="all has run")
    assert len(requests) == rounds
    assert {len(sent) for sent in requests.values()} == {PROCESSES}
    for unique, sent in requests.items():
        last = runs[unique][-1]
        newest = max(request.sent for request in sent)
        # The clocks of the processes are not told apart by more than some milliseconds.
        assert last.began >= newest + max(0.0, delay - 0.05), f"{unique}: no run has begun since the last request"
        if mode == "replace":
            seen = next(request for request in sent if request.sent == last.sent)
            assert newest <= seen.returned, f"{unique}: the last run saw an older request than the newest"
    total = sum(map(len, runs.values()))
    assert total < rounds * PROCESSES * 0.9, "requests of a moment share a run"
    print(f"debounce: {mode} after {delay:g} s, {rounds * PROCESSES} requests, {total} runs")  # noqa: T201
