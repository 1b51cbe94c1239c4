from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from mongoq.core.errors import StorageUnavailable
from mongoq.core.events import Telemetry
from mongoq.worker.services.loop import PAUSE, Health, Loop

DOWN = StorageUnavailable("no MongoDB answers at db:27017")


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def health(events: list[str]) -> Health:
    telemetry = Telemetry()
    telemetry.subscribe(lambda name, _fields: events.append(name))
    return Health(telemetry)


def test_a_lost_server_is_one_line_whoever_notices_and_however_often(
    health: Health, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        for who in ("fetcher", "renewer", "sweeper"):
            health.ill(who, DOWN)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("mongoq.worker", logging.WARNING)
    assert "no MongoDB answers at db:27017; it goes on trying" in record.message
    assert events == ["storage.lost"]


def test_the_server_is_back_when_everybody_who_missed_it_has_had_an_answer(
    health: Health, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    health.ill("fetcher", DOWN)
    health.ill("renewer", DOWN)
    caplog.clear()
    health.well("finisher")
    health.well("fetcher")
    health.well("fetcher")
    assert not caplog.records
    health.well("renewer")
    (record,) = caplog.records
    assert record.message.startswith("MongoDB works again after 0.")
    assert events == ["storage.lost", "storage.back"]


def test_every_outage_has_its_two_lines(health: Health, events: list[str], caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        health.ill("fetcher", DOWN)
        health.well("fetcher")
    assert len(caplog.records) == 6
    assert events == ["storage.lost", "storage.back"] * 3


def test_a_healthy_worker_is_silent(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    for who in ("fetcher", "renewer"):
        health.well(who)
    assert not caplog.records


def test_the_pause_after_an_error_grows_is_jittered_and_ends_at_5_s() -> None:
    for failures, most in ((1, 0.1), (2, 0.2), (4, 0.8), (50, 5.0)):
        pauses = [PAUSE.delay(failures).total_seconds() for _ in range(100)]
        assert most / 2 <= min(pauses) < max(pauses) <= most


def test_a_loop_goes_on_after_errors_of_both_kinds(
    health: Health, events: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def outcomes() -> Iterator[Exception | None]:
        yield DOWN
        yield ValueError("a bug")
        yield None
        loop.stop()
        yield None

    steps = outcomes()

    def step(_now: float) -> float:
        error = next(steps)
        if error is not None:
            raise error
        return 0

    loop = Loop("fetcher", step, health)
    loop.start()
    assert loop.join(60)
    assert next(steps, "over") == "over"
    assert events == ["storage.lost", "storage.back"]
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR", "WARNING"]


def test_a_stopped_loop_steps_no_more_however_long_its_rest(health: Health) -> None:
    steps: list[int] = []

    def step(_now: float) -> None:
        steps.append(1)
        loop.stop()

    loop = Loop("fetcher", step, health)
    loop.start()
    assert loop.join(60)
    assert steps == [1]


def test_a_wake_up_ends_the_rest_of_a_loop(health: Health) -> None:
    steps: list[int] = []

    def step(_now: float) -> None:
        steps.append(1)
        (loop.wake if len(steps) < 3 else loop.stop)()

    loop = Loop("fetcher", step, health)
    loop.start()
    assert loop.join(60)
    assert len(steps) == 3
