"""Tasks as they were written for Celery; only the import is another: with `from celery import ...` Celery runs them.

`tests/contrib/test_celery.py` runs them by both, to the same results.
"""

from __future__ import annotations

from typing import Any

from mongoq.contrib.celery import chain, chord, group, shared_task

SENT: list[str] = []


@shared_task
def add(x: int, y: int) -> int:
    return x + y


@shared_task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@shared_task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=True, retry_jitter=False, max_retries=5)
def fetch(self: Any, url: str) -> str:
    if url.endswith("/busy") and self.request.retries < 2:
        raise ConnectionError(url)
    return f"page of {url}"


@shared_task(bind=True, max_retries=3, default_retry_delay=30)
def charge(self: Any, order: int, amount: str) -> str:
    try:
        if order < 0 or (order == 13 and self.request.retries == 0):
            raise TimeoutError("the bank is closed")
    except TimeoutError as error:
        raise self.retry(exc=error, countdown=60) from error
    return f"{order}: {amount}"


@shared_task(queue="mail", ignore_result=True)
def mail(text: str, to: str = "ada") -> None:
    SENT.append(f"{to}: {text}")


@shared_task
def alarm(request: Any, exc: BaseException, traceback: str) -> None:  # noqa: ARG001
    SENT.append(f"{request.args[0]} went wrong: {exc}")


def place_order(order: int, amount: str) -> Any:
    """Charge, then mail the receipt; an alarm where the bank stays closed."""
    return chain(charge.s(order, amount).on_error(alarm.s()), mail.s(to="bob")).apply_async()


def sum_of_squares(count: int) -> Any:
    """A chord: the squares side by side, then their sum, then one more."""
    squares = group(chain(add.s(n, 0), multiply.s(n)) for n in range(count))
    return (chord(squares, total.s()) | add.s(1)).apply_async()


@shared_task
def multiply(x: int, y: int) -> int:
    return x * y
