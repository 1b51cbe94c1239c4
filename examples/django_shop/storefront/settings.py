"""The settings: the queue lives in the shop's own database."""

from __future__ import annotations

import os

import django

SECRET_KEY = "an example"  # noqa: S105 -- as it says
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "storefront.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django_mongodb_backend.fields.ObjectIdAutoField"
INSTALLED_APPS = ["mongoq.contrib.django", "storefront"]
if django.VERSION < (6,):
    INSTALLED_APPS.append("django_tasks")

DATABASES = {
    "default": {
        "ENGINE": "django_mongodb_backend",
        "HOST": os.environ.get("MONGOQ_URI", "mongodb://localhost/shop?replicaSet=rs0"),
    }
}
TASKS = {
    "default": {
        "BACKEND": "mongoq.contrib.django.MongoqBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {"database": "default", "namespace": "tasks"},
    }
}
