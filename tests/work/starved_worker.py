"""A worker whose process gets no more threads, or no more descriptors, when it is told so on stdin."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import resource
import socket
import stat
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from mongoq import Queue

LIBC: Final = ctypes.CDLL(None)
STACK: Final = 2**31
"""A stack of this size fits into no address space that is limited to half of it beyond what is used."""


def plain(task: Any) -> int:
    if task.tags.get("starve"):
        starve(task.tags["starve"], room=task.tags.get("room", 0))
        time.sleep(task.tags["seconds"])
    return os.getpid()


async def awaits(task: Any) -> int:
    await asyncio.sleep(0)
    return os.getpid()


async def calls(task: Any) -> int:
    return await asyncio.to_thread(os.getpid)


def starve(what: str, *, room: int = 0) -> None:
    """Let this process have no more of these, but so many threads."""
    if what == "threads":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        threading.stack_size(STACK)
        resource.setrlimit(resource.RLIMIT_AS, (used + STACK // 2 + room * (STACK + 2**20), resource.RLIM_INFINITY))
        return
    sockets = [number for number in [int(one.name) for one in Path("/proc/self/fd").iterdir()] if _is_tcp(number)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for number in sockets:  # and the connections are cut
        LIBC.shutdown(number, socket.SHUT_RDWR)


def _is_tcp(number: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
        connection = socket.socket(fileno=number)
        connected = connection.family == socket.AF_INET and connection.type == socket.SOCK_STREAM
        connection.detach()
    except OSError:
        return False
    return connected


def feed() -> None:
    """Let it have what it wants again."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 1_024), hard))
    threading.stack_size(0)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(uri: str, namespace: str, executor: str, handler: str, workers: str, *before: str) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    with Queue(uri, namespace=namespace, max_retries=0, grace=5) as queue:
        if executor == "run":
            queue.run(globals()[handler], workers=int(workers))
            return
        queue.time()  # the driver has its own threads by now
        if before:
            starve("threads", room=int(before[0]))
        worker = queue.start(globals()[handler], executor=executor, workers=int(workers))
        say("started")
        for line in sys.stdin:
            told = line.strip()
            if told == "feed":
                feed()
            elif told == "stop":
                worker.stop()
            else:
                starve(told)
            say(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
