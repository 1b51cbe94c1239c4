"""Functions that take lists; children of the process executor import this module."""

from __future__ import annotations

import os

from mongoq import Attempt, Fail, Retry, Tasks

tasks = Tasks()


@tasks.task(batch=5, wait=30, max_retries=1, backoff=0)
def mixed(attempts: list[Attempt], numbers: list[int]) -> list[int | Exception]:
    for attempt, number in zip(attempts, numbers, strict=True):
        attempt.progress(0.5, f"number {number}")
    said: dict[int, Exception] = {1: Fail("no such number"), 2: Retry("busy"), 3: ValueError("odd")}
    return [said.get(number, os.getpid()) for number in numbers]


@tasks.task(batch=3, wait=30, max_retries=1, backoff=0)
def deadly(numbers: list[int]) -> None:
    if 13 in numbers:
        os._exit(3)


@tasks.task(batch=2, wait=30, deadline=0.3, max_retries=0)
def endless(numbers: list[int]) -> None:
    while True:
        os.getpid()


@tasks.task(batch=3, wait=30, lease=1, max_retries=0)
def patient(attempts: list[Attempt], numbers: list[int]) -> list[str | Exception]:
    """Run until one of them is to stop, which that one alone learns."""
    attempts[0].progress(0.1)
    while not any(attempt.interruption for attempt in attempts):
        os.getpid()
    return ["went on" if attempt.interruption is None else ValueError("told") for attempt in attempts]
