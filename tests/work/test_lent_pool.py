"""`asyncio.to_thread` in handlers on the application's own loop: it keeps no process that has stopped."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mongoq import Queue

SCRIPT = """
import asyncio, sys, threading, time
from mongoq import AsyncQueue

async def handler(task):
    running.set()
    await asyncio.to_thread(time.sleep, 60)

def others():
    time.sleep(1)
    print("others are waited for", flush=True)

async def main():
    global running
    running = asyncio.Event()
    {before}
    async with AsyncQueue(sys.argv[1], namespace=sys.argv[2], grace=0.5) as queue:
        run = asyncio.create_task(queue.run(handler))
        await running.wait()
        asyncio.get_running_loop().run_in_executor(None, others)
        run.cancel()
        await asyncio.wait([run])

asyncio.run(main())
"""
BEFORE = {
    "no pool": "pass",
    "a pool of asyncio's own": "await asyncio.to_thread(int)",
}
OWN = """
import concurrent.futures
own = concurrent.futures.ThreadPoolExecutor(3)
asyncio.get_running_loop().set_default_executor(own)
"""


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
def test_a_call_of_a_handler_does_not_keep_the_process(uri: str, queue: Queue, tmp_path: Path, before: str) -> None:
    queue.new()
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(before=before))
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(script), uri, queue.namespace], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout) == (0, "others are waited for\n"), done.stderr
    assert time.monotonic() - began < 50, "the handler's call takes 60 s"
    assert queue.count(state="ready") == 1
    assert queue.tasks()[0].attempts - queue.tasks()[0].uncharged == 0


def test_a_pool_that_the_application_has_set_is_left_alone(uri: str, queue: Queue, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    own = "\n    ".join(OWN.strip().splitlines())
    text = SCRIPT.format(before=own).replace("time.sleep, 60", "time.sleep, 0")
    script.write_text(
        text.replace("run.cancel()", "print(asyncio.get_running_loop()._default_executor is own); run.cancel()")
    )
    queue.new()
    done = subprocess.run(
        [sys.executable, str(script), uri, queue.namespace], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "True\nothers are waited for\n", done.stderr
