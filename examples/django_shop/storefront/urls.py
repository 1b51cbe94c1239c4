"""The views of the shop."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django_mongodb_backend import transaction

from mongoq.contrib.django import get_queue
from storefront.models import Order
from storefront.tasks import fulfil


@transaction.atomic
def place_order(_: HttpRequest, number: int, article: str) -> JsonResponse:
    Order.objects.create(number=number, article=article)
    result = fulfil.enqueue(number)  # there when the order is, or never
    if article == "sold out":
        raise ValueError("neither the order nor the task is there")
    return JsonResponse({"task": result.id}, status=202)


def status(_: HttpRequest, key: str) -> JsonResponse:
    result = fulfil.get_result(key)
    progress = get_queue().get(key).progress
    return JsonResponse({"status": result.status, "progress": progress and progress.value})


urlpatterns = [
    path("orders/<int:number>/<str:article>", place_order),
    path("tasks/<str:key>", status),
]
