"""What the shop sells."""

from __future__ import annotations

from django.db import models


class Order(models.Model):  # type: ignore[misc] # Django brings no types
    """An order of a customer."""

    number = models.IntegerField()
    article = models.CharField(max_length=100)
    parcel = models.CharField(max_length=100, default="")
