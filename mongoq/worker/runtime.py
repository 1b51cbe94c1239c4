"""What the services of one worker share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mongoq.core.events import Telemetry
from mongoq.storage.context import Context
from mongoq.worker.services.lease_book import LeaseBook

Run = Callable[[Any], Any]
"""Runs an operation and returns its result."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """The worker's surroundings, its name, and what it holds."""

    context: Context
    run: Run
    worker: str
    telemetry: Telemetry
    book: LeaseBook = field(default_factory=LeaseBook)
