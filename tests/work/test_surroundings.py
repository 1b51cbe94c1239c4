"""Workers in processes whose settings, streams and folders the application has changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mongoq import Queue

HERE = Path(__file__).parent
WORKER = """
import os, signal, socket, sys
from mongoq import Queue
{prelude}
import process_handlers

if __name__ == "__main__":
    handler = process_handlers.prints_on_a_loop if sys.argv[3] == "asyncio" else process_handlers.prints
    with Queue(sys.argv[1], namespace=sys.argv[2], max_retries=0) as queue:
        queue.run(handler, executor=sys.argv[3], workers=2, burst=True)
"""
PRELUDES = {
    "a time limit for sockets": "socket.setdefaulttimeout(0.01)",
    "no time for sockets": "socket.setdefaulttimeout(0)",
    "SIGCHLD ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "no working folder": "import tempfile; gone = tempfile.mkdtemp(); os.chdir(gone); os.rmdir(gone)",
    "closed streams": "[os.close(number) for number in (0, 1, 2)]",
    "no streams": "sys.stdin = sys.stdout = sys.stderr = None; [os.close(number) for number in (0, 1, 2)]",
    "one core": "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})",
    "SIGTERM blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])",
}


@pytest.fixture
def work(tmp_path: Path, uri: str) -> Callable[[Queue, str, str], Any]:
    """Run a worker in a process with this prelude."""

    def work(queue: Queue, executor: str, prelude: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "worker_script.py"
        script.write_text(WORKER.format(prelude=f"sys.path.insert(0, {str(HERE)!r})\n{prelude}"))
        command = [sys.executable, str(script), uri, queue.namespace, executor]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return work


@pytest.mark.parametrize("executor", ["threads", "asyncio", "processes"])
@pytest.mark.parametrize("prelude", PRELUDES.values(), ids=PRELUDES)
def test_tasks_are_done_whatever_the_application_has_set(
    queue: Queue, work: Callable[..., Any], executor: str, prelude: str
) -> None:
    keys = [queue.new().key for _ in range(5)]
    done = work(queue, executor, prelude)
    # In the worker's own process it is the application that has SIGCHLD ignored, and gets no exit codes.
    code = 0 if "SIG_IGN" in prelude and executor != "processes" else 5
    assert [queue.get(key).result for key in keys] == [[code, "ok"]] * 5, done.stderr
