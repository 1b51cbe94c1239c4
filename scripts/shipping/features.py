"""What each extra of pyproject.toml is for, as a program that runs where it is installed and fails where it is not."""

from __future__ import annotations

from typing import Final

FEATURES: Final = {
    "embedded": "from mongoq.embedded.server import find_mongod; find_mongod()",
    "motor": (
        "from motor.motor_asyncio import AsyncIOMotorClient\n"
        "from mongoq import AsyncQueue\n"
        "AsyncQueue(AsyncIOMotorClient('mongodb://localhost'), namespace='shop')"
    ),
    "encryption": "from mongoq.encryption import fernet_codec; fernet_codec({'2026-11': b'A' * 43 + b'='})",
    "testing": "from mongoq.testing import memory_queue; memory_queue().close()",
    "dashboard": "import mongoq.dashboard",
    "prometheus": "import mongoq.contrib.prometheus",
    "opentelemetry": "import mongoq.contrib.opentelemetry",
}
TOOLS: Final = ("docs", "dev")
"""Extras that are for work on mongoq alone."""
FRAMEWORKS: Final = {
    "django": "mongoq.contrib.django",
    "fastapi": "mongoq.contrib.fastapi",
    "flask": "mongoq.contrib.flask",
    "sentry-sdk": "mongoq.contrib.sentry",
}
"""Modules for what an application has already, by the package: they have no extra."""
