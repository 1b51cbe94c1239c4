"""Run the shop of docs/frameworks/fastapi.md."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

pytest.importorskip("fastapi")


def check() -> None:
    from fastapi.testclient import TestClient  # noqa: PLC0415 -- the page is skipped without it

    sys.modules.pop("shop", None)
    shop: Any = importlib.import_module("shop")
    with TestClient(shop.app) as client:
        placed = client.post("/orders", json={"number": 7, "article": "pen"})
        status = client.get(f"/tasks/{placed.json()['task']}").json()
        assert (status["name"], status["state"], status["progress"]) == ("fulfil", "ready", None)
    sys.modules.pop("shop")
