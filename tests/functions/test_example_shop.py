"""The twelve tasks of `examples/shop.py`, tested without a server and without a helper of their own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mongoq import Queue
from mongoq.testing import assert_enqueued, memory_queue, perform, refute_enqueued, run_due

EXAMPLES = Path(__file__).parents[2] / "examples"
QUEUES = ["default", "mail", "stock", "images"]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(EXAMPLES)
    module = importlib.import_module("shop")
    yield module
    module.queue.close()
    sys.modules.pop("shop")


@pytest.fixture
def queue(shop: Any) -> Iterator[Queue]:
    with memory_queue() as own:
        own.include(shop.queue)
        yield own


def lines(shop: Any) -> Any:
    return [shop.Line("pen", 2, Decimal("1.50")), shop.Line("ink", 1, Decimal("4.00"))]


def test_an_order_is_charged_and_what_follows_runs(shop: Any, queue: Queue) -> None:
    key = shop.place_order(7, lines(shop))
    assert shop.place_order(7, lines(shop)) == key

    ran = run_due(queue, queues=QUEUES, advance=False)

    assert ran[0].task.name == "charge_card"
    assert ran[0].result == shop.Receipt(7, Decimal("7.00"), shop.today())
    assert shop.OUTBOX == ["receipt 7: 7.00"]
    assert shop.STOCK == {"pen": -2, "ink": -1}


def test_a_bank_that_is_closed_is_tried_again_and_a_declined_card_is_not(shop: Any, queue: Queue) -> None:
    shop.BANK |= {1: ConnectionError("closed"), 2: shop.CardDeclinedError("no")}
    for order, state in ((1, "scheduled"), (2, "failed")):
        assert perform(shop.charge_card, order, [], date(2026, 8, 1)).state == state


def test_a_user_is_greeted_once(shop: Any, queue: Queue) -> None:
    shop.sign_up(42)
    (greeting,) = assert_enqueued(shop.send_welcome, user=42, template="gold")
    assert (greeting.queue, greeting.unique) == ("mail", "welcome-42")
    refute_enqueued(shop.charge_card)


def test_every_task_runs(shop: Any, queue: Queue) -> None:
    assert perform(shop.resize, Path("/a/b.png"), {20, 10}).result == [Path("/a/b-10.png"), Path("/a/b-20.png")]
    assert perform(shop.fetch_rates, ["EUR"]).result == {"EUR": Decimal("1.05")}
    assert perform(shop.export_orders, 2026).result == 12
    assert perform(shop.refund, 7, Decimal("7.00")).result == Decimal("7.00")
    assert perform(shop.clean_carts).state == "completed"
    assert [one.name for one in perform(shop.restock, "pen", -3).then] == ["warn_of_stock"]
    shop.newsletter.new([1, 2])
    assert [one.task.name for one in run_due(queue, queues=QUEUES, advance=False)] == [
        "newsletter",
        *2 * ["send_welcome"],
    ]
    assert len({function.name for function in shop.tasks._registry}) == 12
