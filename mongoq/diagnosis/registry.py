"""Run the checks over what was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mongoq.diagnosis.check import MOST, Check, Found
from mongoq.diagnosis.checks import (
    client,
    host,
    index,
    limit,
    namespace,
    query,
    queue,
    schedule,
    server,
    task,
    user,
    worker,
)
from mongoq.diagnosis.facts import Unread
from mongoq.diagnosis.finding import Diagnosis, Finding, Level, NotRun

_MODULES: Final = (server, client, user, host, namespace, index, query, worker, queue, schedule, limit, task)
CHECKS: Final[tuple[Check, ...]] = tuple(
    one for module in _MODULES for one in vars(module).values() if isinstance(one, Check)
)
"""Every check, by the thing that it is about."""
_ORDER: Final = list(Level)


def judge(*facts: Any, checks: Iterable[Check] = CHECKS) -> Diagnosis:
    """What the checks say of these facts, the worst first; a check that needs others is left out without a word."""
    return judged({type(fact): fact for fact in facts}, [one for one in checks if _given(one, facts)])


def judged(facts: Mapping[type[Any], Any], checks: Iterable[Check] = CHECKS) -> Diagnosis:
    """What the checks say of facts by their type, some of which could not be read: their checks are not run."""
    findings: list[Finding] = []
    not_run: list[NotRun] = []
    for one in checks:
        needed = [facts[kind] for kind in one.needs]
        reasons = [fact.reason for fact in needed if isinstance(fact, Unread)]
        if reasons:
            not_run.append(NotRun(one.name, reasons[0]))
        else:
            findings += _limited(one, list(one.run(*needed)))
    return Diagnosis(tuple(sorted(findings, key=lambda found: _ORDER.index(found.level))), tuple(not_run))


def _given(one: Check, facts: Iterable[Any]) -> bool:
    return set(one.needs) <= {type(fact) for fact in facts}


def _limited(one: Check, found: Sequence[Found]) -> list[Finding]:
    """The first few findings of one check: of 10,000 queues that nobody serves the others are only counted."""
    findings = [one.finding(single) for single in found[:MOST]]
    if len(found) <= MOST:
        return findings
    last, more = findings[-1], len(found) - MOST
    return [*findings[:-1], last._replace(problem=f"{last.problem} (and {more:,} more like this)")]
