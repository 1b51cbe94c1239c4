"""The application of Django's: it brings the command `mongoq_worker`."""

from __future__ import annotations

from django.apps import AppConfig


class MongoqConfig(AppConfig):  # type: ignore[misc] # Django brings no types
    """`INSTALLED_APPS = [..., "mongoq.contrib.django"]`."""

    name = "mongoq.contrib.django"
    label = "mongoq"
    verbose_name = "mongoq"
