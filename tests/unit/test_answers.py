"""The dashboard reads once for all open tabs that ask for the same."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

pytest.importorskip("starlette")

from mongoq.dashboard.service.answers import Answers, pause
from mongoq.dashboard.service.gateway import Gateway


class Counting:
    """A gateway that tells how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def ask(self, verb: str, *args: Any, **options: Any) -> int:
        self.asked.append((verb, *args, *options.values()))
        number = len(self.asked)
        await asyncio.sleep(0)
        return number


@pytest.fixture
def gateway() -> Counting:
    return Counting()


@pytest.fixture
def answers(gateway: Counting) -> Answers:
    return Answers(cast("Gateway", gateway), every=3600)


@pytest.mark.parametrize("took, seconds", [(0.01, 5.0), (0.2, 20.0), (0.4, 30.0), (3.0, 60.0)])
def test_what_is_slow_to_read_is_read_less_often(took: float, seconds: float) -> None:
    assert pause(5.0, took) == pytest.approx(seconds)


def test_tabs_that_ask_all_at_once_are_told_what_was_read_once(answers: Answers, gateway: Counting) -> None:
    async def body() -> list[int]:
        return await asyncio.gather(*(answers.ask("limits") for _ in range(50)), answers.ask("limit_state", "tenant"))

    assert sorted(asyncio.run(body())) == [*[1] * 50, 2]
    assert sorted(gateway.asked) == [("limit_state", "tenant"), ("limits",)]


def test_a_fresh_answer_is_what_the_next_are_told(answers: Answers) -> None:
    async def body() -> list[int]:
        return [await answers.ask("get", "k"), await answers.ask("get", "k", fresh=True), await answers.ask("get", "k")]

    assert asyncio.run(body()) == [1, 2, 2]


def test_what_was_changed_is_read_anew(answers: Answers) -> None:
    async def body() -> list[int]:
        first = await answers.ask("limits")
        answers.forget()
        return [first, await answers.ask("limits")]

    assert asyncio.run(body()) == [1, 2]


def test_answers_are_kept_for_the_last_questions_alone(answers: Answers, gateway: Counting) -> None:
    async def body() -> None:
        for number in range(300):
            await answers.ask("get", f"k{number}")
        await answers.ask("get", "k299")
        await answers.ask("get", "k0")

    asyncio.run(body())
    assert len(gateway.asked) == 301
