"""Django's tasks: those of Django 6.0 and later, else of the package django-tasks, which came before them."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

PACKAGE: Final = "django.tasks" if find_spec("django.tasks") is not None else "django_tasks"


def _module(name: str) -> Any:
    return import_module(f"{PACKAGE}.{name}" if name else PACKAGE)


base: Any = _module("base")
backends: Any = _module("backends.base")
exceptions: Any = _module("exceptions")
InvalidTaskBackend: Any = getattr(exceptions, "InvalidTaskBackend", None) or exceptions.InvalidTaskBackendError


def signal(name: str) -> Any:
    """One of Django's signals of tasks; their module wants the whole package first."""
    return getattr(_module("signals"), name)


def task_backends() -> Any:
    """Django's backends by alias."""
    return _module("").task_backends
