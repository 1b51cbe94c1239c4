"""Django's tasks: those of Django 6.0 and later, else of the package django-tasks, which came before them.

Before 0.12 that package called its states otherwise, so an older one is refused when this is imported.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final

from mongoq.core.host.extras import needs

BACKPORT: Final = "django-tasks>=0.12"

PACKAGE: Final = "django.tasks" if find_spec("django.tasks") is not None else "django_tasks"


def _module(name: str) -> Any:
    return import_module(f"{PACKAGE}.{name}" if name else PACKAGE)


with needs(BACKPORT):
    base: Any = _module("base")
if PACKAGE == "django_tasks" and [int(part) for part in version("django-tasks").split(".")[:2]] < [0, 12]:
    raise ImportError(f"django-tasks {version('django-tasks')} is too old: pip install '{BACKPORT}'")
backends: Any = _module("backends.base")
exceptions: Any = _module("exceptions")
InvalidTaskBackend: Any = getattr(exceptions, "InvalidTaskBackend", None) or exceptions.InvalidTaskBackendError


def signal(name: str) -> Any:
    """One of Django's signals of tasks; their module wants the whole package first."""
    return getattr(_module("signals"), name)


def task_backends() -> Any:
    """Django's backends by alias."""
    return _module("").task_backends
