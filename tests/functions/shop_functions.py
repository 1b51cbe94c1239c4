"""Functions of an application, apart from any queue; children of the process executor import this module."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from mongoq import Attempt, Task, Tasks

tasks = Tasks()


@dataclass
class Line:
    item: str
    price: Decimal


@tasks.task
def total(lines: list[Line], due: date | None = None) -> Decimal:
    return sum((line.price for line in lines), Decimal(0))


@tasks.task
def process_id(attempt: Attempt) -> int:
    assert attempt.task.attempt is attempt
    return os.getpid()


@tasks.task
def attempts(task: Task, more: int) -> int:
    return task.attempts + more


@tasks.task
def of_wrong_kind() -> int:
    return "text"  # type: ignore[return-value]
