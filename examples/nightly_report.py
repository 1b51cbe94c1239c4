"""A report each night: one task for each shop, and one after all of them, which adds up and names those that failed.

`mongoq worker nightly_report:queue` in this folder runs it; its test, `tests/functions/test_example_report.py`, needs
no server. Should a process die anywhere, the shops are still asked once each, and the report is mailed once.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from mongoq import Attempt, NewTask, Queue

queue = Queue("mongodb://localhost/shop?replicaSet=rs0", namespace="reports")
SALES: dict[str, int | None] = {}  # cents by shop; None: its till does not answer
MAILED: list[str] = []


@queue.cron("0 3 * * *", tz="Europe/Zurich")
def nightly() -> list[NewTask]:
    day = datetime.now(UTC).date() - timedelta(days=1)
    shops = [turnover.options(key=f"{day}-{shop}", on_conflict="skip").call(shop) for shop in SALES]
    return [*shops, report.options(after=shops, on_parent_failure="run").call(day)]


@queue.task(max_retries=2, backoff=60)
def turnover(shop: str) -> int:
    if (cents := SALES[shop]) is None:
        raise ConnectionError(f"the till of {shop} does not answer")
    return cents


@queue.task(queue="mail")
def report(attempt: Attempt, day: date) -> None:
    shops = attempt.parents.values()
    total = sum(shop.result for shop in shops if shop.result is not None)
    silent = ", ".join(sorted(shop.tags["shop"] for shop in shops if shop.state != "completed"))
    MAILED.append(f"{day}: {total / 100:.2f}, without {silent or 'none missing'}")
