"""Checks of mongoq's hot queries, as the server's `explain` tells of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from mongoq.diagnosis.check import Found, check
from mongoq.diagnosis.facts import Plan, Plans
from mongoq.diagnosis.finding import Level
from mongoq.diagnosis.words import mongosh, span

SLACK: Final = 200
FACTOR: Final = 10
"""A query may examine ten times what it returns, and 200 more, before it is told."""
SLOW: Final = timedelta(seconds=1)


@check(
    "query.scan", Level.FAULT, "a hot query that reads the whole collection",
    effect="It takes longer with each task that is kept; claims of a large namespace come to a halt.",
    advice="Build the missing index.",
    command="mongoq init",
)  # fmt: skip
def scan(plans: Plans) -> Iterator[Found]:
    """Collection scans."""
    for plan in plans.plans:
        if "COLLSCAN" in plan.stages:
            yield Found(plan.query, f"The query for {plan.query} scans the collection instead of {plan.expected}")


@check(
    "query.index", Level.WARNING, "a hot query that the planner serves by another index than the one made for it",
    effect="It examines tasks that it does not return, the more the longer the namespace lives.",
    advice="Drop the index that competes, or build the one that is missing.",
    command="mongoq init",
)  # fmt: skip
def wrong_index(plans: Plans) -> Iterator[Found]:
    """Plans with a wrong index."""
    for plan in plans.plans:
        if plan.used and plan.expected not in plan.used and "COLLSCAN" not in plan.stages:
            used = ", ".join(plan.used)
            yield Found(plan.query, f"The query for {plan.query} uses the index {used} instead of {plan.expected}")


@check(
    "query.examined", Level.WARNING, "a hot query that examines far more than it returns",
    effect="Each claim or sweep pays for what it passes over.",
    advice="Look at what stands before the tasks that it is for: other names, paused values, suspects.",
    command="mongoq stats",
)  # fmt: skip
def examined(plans: Plans) -> Iterator[Found]:
    """Plans that examine too much."""
    for plan in plans.plans:
        most = max(plan.keys, plan.documents)
        if "COLLSCAN" not in plan.stages and most > FACTOR * plan.returned + SLACK:
            found = f"examined {plan.keys:,} keys and {plan.documents:,} documents for {plan.returned:,} results"
            yield Found(plan.query, f"The query for {plan.query} {found}")


@check(
    "query.slow", Level.WARNING, "a hot query that takes longer than a second",
    effect="Tasks start late, and renewals may come too late for short leases.",
    advice="Look at what the server does beside it: its disk, its locks, the history of its storage engine.",
    command=mongosh("db.currentOp()"),
)  # fmt: skip
def slow(plans: Plans) -> Iterator[Found]:
    """Plans that take long."""
    for plan in plans.plans:
        if _is_slow(plan):
            took = f"took {span(plan.took)}" if plan.ended else "did not end within its time limit"
            yield Found(plan.query, f"The query for {plan.query} {took}")


def _is_slow(plan: Plan) -> bool:
    return not plan.ended or plan.took > SLOW
