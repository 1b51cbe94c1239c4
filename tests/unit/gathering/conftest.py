"""A gatherer over a server of which a test decides when it answers."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mongoq.api.gathering.gatherer import Gatherer
from mongoq.core.events import Telemetry
from mongoq.hooks.attached import Hooks
from mongoq.storage.context import Context
from tests.unit.gathering.writes import Writes


@pytest.fixture
def writes() -> Iterator[Writes]:
    writes = Writes()
    yield writes
    writes.answer.set()


@pytest.fixture
def gatherer(context: Context, writes: Writes) -> Gatherer:
    base: Any = SimpleNamespace(
        context=context,
        driver=writes,
        send=lambda op: op,
        check_accepting=lambda: None,
        hooks=Hooks(Telemetry()),
        telemetry=Telemetry(),
        rooms=None,
    )
    return Gatherer(base, 5.0)
