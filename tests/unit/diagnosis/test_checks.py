"""Each check finds what is planted for it, and nothing where all is well."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import typer

from mongoq import QueueStats
from mongoq.cli.app import app
from mongoq.diagnosis.check import MOST, Check
from mongoq.diagnosis.facts import Fleet, Host, Unread
from mongoq.diagnosis.finding import Finding, Level
from mongoq.diagnosis.registry import CHECKS, judge, judged
from mongoq.testing.tasks import NOW
from tests.unit.diagnosis.plants import FLEET, HEALTHY, PLANTS, Plant

COMMANDS: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 -- of whichever click it is
CASES = [
    pytest.param(one, plant, id=f"{one.name}-{number}")
    for one in CHECKS
    for number, plant in enumerate(PLANTS.get(one.name, []))
]


def found_with(plant: Plant) -> list[Finding]:
    facts = {type(fact): fact for fact in HEALTHY} | {type(plant.fact): plant.fact}
    return list(judged(facts).findings)


def test_every_check_has_a_plant_and_every_plant_a_check() -> None:
    assert [one.name for one in CHECKS if one.name not in PLANTS] == []
    assert PLANTS.keys() == {one.name for one in CHECKS}
    assert len(CHECKS) > 40


def test_facts_in_which_nothing_is_wrong_bring_no_finding() -> None:
    assert judge(*HEALTHY).findings == ()
    assert {kind for one in CHECKS for kind in one.needs} == {type(fact) for fact in HEALTHY}


@pytest.mark.parametrize("check, plant", CASES)
def test_a_check_finds_what_is_planted_and_says_it(check: Check, plant: Plant) -> None:
    found = [one for one in found_with(plant) if one.check == check.name]
    assert [plant.says in one.problem for one in found] == [True], found
    assert found[0].level is (plant.level or check.level)
    assert found[0].effect == check.effect != ""
    assert found[0].advice
    assert found[0].about


@pytest.mark.parametrize("check, plant", CASES)
def test_a_command_to_type_is_one_of_mongoq_with_options_that_it_has(check: Check, plant: Plant) -> None:
    for one in found_with(plant):
        if not one.command.startswith("mongoq "):
            assert re.match(r"""mongosh ("\$MONGOQ_URI"|ADMIN_URI) --eval '|pip |timedatectl |$""", one.command), (
                one.command
            )
            continue
        program, name, *rest = shlex.split(one.command)
        assert program == "mongoq"
        assert (name, *rest)[:2] != ("limits", "list"), "it takes no names"
        known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, one.command


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.name)
def test_the_words_of_a_check_are_sentences(check: Check) -> None:
    for text in (check.effect, check.advice):
        assert re.fullmatch(r"[A-Zm].*\.", text), text
    assert not check.looks_for.endswith(".")
    assert check.run.__doc__


def test_a_check_whose_facts_could_not_be_read_is_named_with_the_reason() -> None:
    done = judged({type(fact): fact for fact in HEALTHY} | {Host: Unread("the provider does not tell")})
    assert [tuple(one) for one in done.not_run] == [("host.clock", "the provider does not tell")]
    assert done.findings == ()
    assert done.healthy


def test_the_worst_comes_first_and_only_a_fault_must_be_mended() -> None:
    planted = [PLANTS[name][0].fact for name in ("queue.paused", "server.arbiter", "task.lost")]
    done = judge(*planted)
    assert [one.level for one in done.findings] == [Level.FAULT, Level.WARNING, Level.NOTE]
    assert not done.healthy
    assert judge(*planted[:2]).healthy


def test_facts_that_nobody_read_leave_their_checks_out_without_a_word() -> None:
    assert judge(Host(timedelta(0))) == judge()
    assert judge(Host(timedelta(hours=1))).findings[0].check == "host.clock"


def test_a_check_that_finds_very_much_tells_of_ten() -> None:
    many = {f"queue-{number}": QueueStats(f"queue-{number}", ready=1) for number in range(10_000)}
    found = judge(Fleet(NOW, many)).findings
    assert len(found) == MOST
    assert found[-1].problem.endswith("(and 9,990 more like this)")


def test_a_queue_that_is_paused_is_told_once() -> None:
    paused = replace(FLEET.queues["mail"], paused=True, oldest_ready=timedelta(hours=1), unhandled=2)
    assert judge(replace(FLEET, queues={"mail": paused}, workers=[])).findings == ()
