"""Handlers that fork their process."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable

from mongoq import Task
from tests.work.process_handlers import note


def forks_and_terminates(task: Task) -> int | None:
    """Fork a process, and terminate it as it begins; its exit code, None where it outlives that."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(60)
    code = child.exitcode
    child.kill()
    child.join()
    return code


async def forks_and_terminates_on_a_loop(task: Task) -> int | None:
    return forks_and_terminates(task)


def forks_and_ends(task: Task) -> int:
    """Fork, and end the fork as the task says; its exit code."""
    child = os.fork()
    if child == 0:
        how = task.tags["how"]
        if how == "exit":
            sys.exit(7)
        if how == "raise":
            raise ValueError("in the fork")
        if how == "stop":
            for number in (signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
        return -1
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def forks_and_ends_on_a_loop(task: Task) -> int:
    return forks_and_ends(task)


async def forks_and_awaits_on_a_loop(task: Task) -> int:
    loop = asyncio.get_running_loop()
    soon = loop.create_future()
    loop.call_later(0.05, soon.set_result, None)
    child = os.fork()
    if child == 0:
        await soon
        os._exit(99)
    return os.waitstatus_to_exitcode((await asyncio.to_thread(os.waitpid, child, 0))[1])


def forks_and_stays(task: Task) -> int:
    """Leave a fork behind that holds whatever it inherited, and die."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    note(task, child)
    os._exit(3)


def in_a_fork(question: Callable[[], bool | None]) -> int:
    """Ask in a fork of this process: 1 for no."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(1 if question() is False else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
