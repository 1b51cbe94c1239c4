"""Where an exception may be raised in a handler."""

from __future__ import annotations

import inspect
import types
from types import FrameType
from typing import Any

import pytest

from mongoq.worker.executors.frames import may_strike


def frame_in(*modules: str) -> FrameType:
    """A frame of a function in the last of these modules, called by one in the module before, and so on."""
    found: list[FrameType | None] = []

    def here() -> None:
        frame = inspect.currentframe()
        assert frame is not None
        found.append(frame.f_back)

    call: Any = here
    for name in reversed(modules):
        made = types.ModuleType(name)
        made.__dict__["call"] = call
        exec("def function():\n    call()", made.__dict__)  # noqa: S102 -- a function of that module
        call = made.__dict__["function"]
    call()
    assert found[0] is not None
    return found[0]


@pytest.mark.parametrize(
    "modules, allowed",
    [
        (["mongoq.worker.executors.threads", "shop.tasks"], True),
        (["threading", "mongoq.worker.executors.threads", "mongoq.worker.handlers.signature", "shop.tasks"], True),
        (["mongoq.worker.executors.threads", "shop.tasks", "threading"], False),
        (["mongoq.worker.executors.threads", "shop.tasks", "logging.handlers"], False),
        (["mongoq.worker.executors.threads", "shop.tasks", "logging", "shop.formats"], False),
        (["mongoq.worker.executors.threads", "shop.tasks", "pymongo.pool"], False),
        (["mongoq.worker.executors.threads", "shop.tasks", "json.decoder"], True),
        (["mongoq.worker.executors.children.program", "loggings"], True),
    ],
)
def test_an_exception_strikes_no_code_that_may_hold_a_lock(modules: list[str], allowed: bool) -> None:
    assert may_strike(frame_in(*modules)) is allowed
