"""Run the mails of docs/howto/priorities.md by one worker, in the order of its claims."""

from __future__ import annotations

import sys
from collections.abc import Generator
from importlib import import_module

from mongoq import Task


def check() -> None:
    mails = import_module("mails")
    with mails.queue as queue:
        mails.publish(range(3))
        mails.reset.new(1)
        ran: list[str] = []

        def noted(task: Task) -> Generator[None, str, None]:
            ran.append((yield))

        queue.middleware(noted)
        queue.run(burst=True, workers=1, prefetch=0)
        assert ran[0] == "reset 1"
        assert sorted(ran[1:]) == ["news 0", "news 1", "news 2"]
    del sys.modules["mails"]
