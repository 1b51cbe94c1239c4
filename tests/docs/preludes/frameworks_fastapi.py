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
        placed = client.post("/orders", json={"number": 7, "to": "ada"}).json()["task"]
        status = client.get(f"/tasks/{placed}").json()
        assert (status["name"], status["state"], status["progress"]) == ("confirm", "ready", None)
        assert f'new EventSource("/tasks/{placed}/events")' in client.get(f"/orders/{placed}").text
    sys.modules.pop("shop")
