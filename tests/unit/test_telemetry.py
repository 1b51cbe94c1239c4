from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from mongoq.core.events import Signpost, Telemetry


class Heard(list[tuple[str, dict[str, Any]]]):
    def __call__(self, name: str, fields: Mapping[str, Any]) -> None:
        self.append((name, dict(fields)))


def test_every_listener_hears_an_event_with_its_fields_in_order_of_subscription() -> None:
    telemetry = Telemetry()
    order: list[int] = []
    telemetry.subscribe(lambda _name, _fields: order.append(1))
    telemetry.subscribe(lambda _name, _fields: order.append(2))
    heard = Heard()
    telemetry.subscribe(heard)
    telemetry.emit(Signpost.FINISHED, count=3)
    assert heard == [("tasks.finished", {"count": 3})]
    assert order == [1, 2]


def test_a_listener_is_left_alone_once_it_has_ended_its_subscription() -> None:
    telemetry = Telemetry()
    heard, other = Heard(), Heard()
    end = telemetry.subscribe(heard)
    telemetry.subscribe(other)
    end()
    end()
    telemetry.emit(Signpost.LEASE_LOST, key="k1")
    assert (len(heard), len(other)) == (0, 1)


def test_without_listeners_there_is_nothing_to_tell() -> None:
    telemetry = Telemetry()
    assert not telemetry
    telemetry.emit(Signpost.SWEPT)
    end = telemetry.subscribe(Heard())
    assert telemetry
    end()
    assert not telemetry


def test_a_listener_that_raises_is_logged_and_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(name: str, fields: Mapping[str, Any]) -> None:
        raise RuntimeError("mine")

    telemetry = Telemetry()
    telemetry.subscribe(broken)
    heard = Heard()
    telemetry.subscribe(heard)
    telemetry.emit(Signpost.SWEPT, promoted=1)
    assert len(heard) == 1
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("mongoq.telemetry", logging.ERROR)
    assert "tasks.swept" in record.message


def test_a_listener_may_end_its_own_subscription() -> None:
    telemetry = Telemetry()
    heard = Heard()

    def once(name: str, fields: Mapping[str, Any]) -> None:
        heard(name, fields)
        end()

    end = telemetry.subscribe(once)
    telemetry.emit(Signpost.SWEPT)
    telemetry.emit(Signpost.SWEPT)
    assert len(heard) == 1
