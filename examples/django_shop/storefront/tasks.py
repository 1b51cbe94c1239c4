"""The tasks of the shop: those of Django, as any backend runs them."""

from __future__ import annotations

from typing import Any

from mongoq.contrib.django import options
from storefront.models import Order

try:
    from django.tasks import task
except ImportError:  # before Django 6.0
    from django_tasks import task


@options(max_retries=3, backoff=1)
@task
def fulfil(number: int) -> str:
    order = Order.objects.get(number=number)
    order.parcel = f"parcel {number}"
    order.save()
    mail.using(priority=10).enqueue(f"{order.article} is on its way", to="ada")
    return f"parcel {number}"


@task(queue_name="mail", takes_context=True)
def mail(context: Any, text: str, to: str) -> str:
    return f"{to}: {text} ({context.attempt})"


@task
async def weigh(article: str) -> int:
    return len(article)


@task
def fail(text: str) -> None:
    raise LookupError(text)
