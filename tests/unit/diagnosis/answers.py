"""What the tests of a diagnosis's reads share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mongoq import MongoqError, StorageRefused
from mongoq.core.clock import FrozenClock
from mongoq.storage.commands import Op

NOW = FrozenClock().now()
Reply = Any
Answer = Callable[[Any], Reply]


def run(op: Op[Any], answer: Answer) -> Any:
    """Run an operation; each command gets what `answer` says, and an error that it returns is raised."""
    reply: Any = None
    try:
        asked = op.send(None)
        while True:
            try:
                reply = answer(asked)
            except MongoqError as error:
                asked = op.throw(error)
            else:
                asked = op.send(reply)
    except StopIteration as done:
        return done.value


def scripted(**replies: Any) -> Answer:
    """Answer the commands of `Ask` by their names; an error is raised, and what is not scripted is refused."""

    def answer(asked: Any) -> Any:
        name = next(iter(asked.command))
        reply = replies.get(name, StorageRefused("no such command", code=59))
        if isinstance(reply, Exception):
            raise reply
        return reply(asked.command) if callable(reply) else reply

    return answer


HELLO = {"setName": "rs", "hosts": ["a:1", "b:1"], "passives": ["c:1"], "arbiters": ["d:1"], "primary": "a:1"}
