"""Django: a backend of `django.tasks` (of `django-tasks` before Django 6.0) and a command that runs a worker.

    INSTALLED_APPS = [..., "mongoq.contrib.django"]
    TASKS = {
        "default": {
            "BACKEND": "mongoq.contrib.django.MongoqBackend",
            "QUEUES": ["default", "mail"],
            "OPTIONS": {"database": "default", "namespace": "shop", "max_retries": 5},
        }
    }

    python manage.py mongoq_worker

`backend` enqueues and reads, `results` shows a task as Django does, `running` runs it, `queues` opens the queue.
"""

from mongoq.core.host.extras import needs

with needs("django>=5.2"):
    import django as _django  # noqa: F401 -- so that it is told what is missing

from mongoq.contrib.django.backend import MongoqBackend, MongoqTask, options
from mongoq.contrib.django.queues import get_queue, get_session

__all__ = ["MongoqBackend", "MongoqTask", "get_queue", "get_session", "options"]
