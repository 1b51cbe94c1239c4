"""What pyproject.toml requires, and the oldest versions of it."""

from __future__ import annotations

import re
from typing import Final

from shipping.environments import project
from shipping.features import FEATURES

EXTRAS: Final = tuple(FEATURES)
"""The extras of users."""
OF_TESTS: Final = frozenset({
    "celery", "django", "django-mongodb-backend", "django-tasks", "fastapi", "flask", "httpx2", "hypothesis",
    "opentelemetry-sdk", "pytest", "pytest-timeout", "pytest-xdist", "pyyaml", "sentry-sdk",
})  # fmt: skip
"""What the tests of the matrix import, of the extra `dev`."""
_LOWER: Final = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*\])?>=(?P<version>[\w.]+)(?:,[^;]*)?(?P<marker>;.*)?")


def of_tests() -> list[str]:
    """The requirements of the tests, beside mongoq's own."""
    return [wanted for wanted in project()["optional-dependencies"]["dev"] if _name(wanted) in OF_TESTS]


def oldest() -> list[str]:
    """All that the matrix installs, each as the oldest version that is allowed."""
    allowed = project()
    own = [wanted for extra in EXTRAS for wanted in allowed["optional-dependencies"][extra]]
    found = filter(None, map(_LOWER.fullmatch, (*allowed["dependencies"], *own, *of_tests())))
    return sorted({f"{each['name']}=={each['version']}{each['marker'] or ''}" for each in found})


def _name(requirement: str) -> str:
    return re.split(r"[<>=;\[]", requirement, maxsplit=1)[0]
