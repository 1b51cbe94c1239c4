"""Twelve tasks of a shop, as they stood in a Celery application: chains, retries, fan-out, schedules, progress.

The last functions are what the shop's views do, of FastAPI, Django or Flask; nothing here is a helper for tasks.
`mongoq worker shop:queue` in this folder runs them. Its tests, `tests/functions/test_example_shop.py`, need no server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from mongoq import Attempt, Done, Fail, NewTask, Queue, Tasks

tasks = Tasks()


class CardDeclinedError(Exception):
    """The bank said no, and will say so again."""


@dataclass
class Line:
    """One article of an order."""

    article: str
    count: int
    price: Decimal


@dataclass
class Receipt:
    """What was paid for an order."""

    order: int
    total: Decimal
    day: date


OUTBOX: list[str] = []
STOCK: dict[str, int] = {}
BANK: dict[int, Exception | None] = {}


@tasks.task(queue="mail", max_retries=5, deadline=30)
def send_welcome(user: int, template: str = "plain") -> None:
    OUTBOX.append(f"welcome {user} ({template})")


@tasks.task(queue="mail", priority=5)
def send_receipt(receipt: Receipt) -> None:
    OUTBOX.append(f"receipt {receipt.order}: {receipt.total}")


@tasks.task(max_retries=3, backoff=60, retry_on=(ConnectionError,))
def charge_card(order: int, lines: list[Line], day: date) -> Done[Receipt]:
    """Charge once; what follows is enqueued together with the completion, or not at all."""
    if error := BANK.get(order):
        raise error
    receipt = Receipt(order, sum((line.price * line.count for line in lines), Decimal(0)), day)
    reserved = [reserve.call(line.article, line.count) for line in lines]
    return Done(receipt, then=[send_receipt.call(receipt), *reserved])


@tasks.task(max_retries=0)
def refund(order: int, amount: Decimal) -> Decimal:
    OUTBOX.append(f"refund {order}: {amount}")
    return amount


@tasks.task(queue="stock")
def reserve(article: str, count: int) -> int:
    STOCK[article] = STOCK.get(article, 0) - count
    return STOCK[article]


@tasks.task(queue="stock")
def restock(article: str, count: int) -> NewTask | None:
    STOCK[article] = STOCK.get(article, 0) + count
    return warn_of_stock.call(article) if STOCK[article] < 0 else None


@tasks.task(queue="mail")
def warn_of_stock(article: str) -> None:
    OUTBOX.append(f"stock of {article} is low")


@tasks.task(queue="images", deadline=120)
def resize(image: Path, sizes: set[int]) -> list[Path]:
    return [image.with_stem(f"{image.stem}-{size}") for size in sorted(sizes)]


@tasks.task
async def fetch_rates(currencies: list[str]) -> dict[str, Decimal]:
    await asyncio.sleep(0)  # an HTTP client of your choice
    return {currency: Decimal("1.05") for currency in currencies}


@tasks.task(max_retries=1, keep_completed=86_400)
def export_orders(attempt: Attempt, year: int) -> int:
    for month in range(12):
        attempt.progress(month / 12, f"{year}-{month + 1:02}")
    return 12


@tasks.cron("0 3 * * *", tz="Europe/Zurich")
def clean_carts(older_than: int = 7) -> None:
    OUTBOX.append(f"carts older than {older_than} days are gone")


@tasks.task
def newsletter(users: list[int]) -> list[NewTask]:
    """Fan out: one mail each, all enqueued with the completion of this task."""
    if not users:
        raise Fail("nobody reads it")
    return [send_welcome.options(priority=-5, unique=f"news-{user}").call(user, "news") for user in users]


queue = Queue("mongodb://localhost/shop?replicaSet=rs0", namespace="shop")
queue.include(tasks)


def today() -> date:
    return datetime.now(UTC).date()


def sign_up(user: int) -> str:
    """Greet a user in a minute, once."""
    return send_welcome.options(delay=60, unique=f"welcome-{user}").new(user, template="gold").key


def place_order(order: int, lines: list[Line]) -> str:
    """Charge in the background; the key is for the page that asks how it went."""
    return charge_card.options(key=f"order-{order}", on_conflict="skip").new(order, lines, today()).key


def pay_now(order: int, lines: list[Line]) -> Receipt:
    """Wait for the receipt, for ten seconds at most."""
    return charge_card.new(order, lines, today()).result(timeout=10)
