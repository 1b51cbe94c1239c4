"""Run the shop of docs/frameworks/flask.md."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import pytest

pytest.importorskip("flask")


def check() -> None:
    sys.modules.pop("shop", None)
    shop: Any = importlib.import_module("shop")
    app = shop.create_app()
    assert app.test_client().post("/orders", json={"number": 7}).status_code == 202
    assert app.test_cli_runner().invoke(args=["mongoq", "worker", "--burst"]).exit_code == 0
    with app.app_context(), shop.get_queue() as queue:
        assert [task.result for task in queue.tasks()] == ["pens and ink: parcel 7"]
    sys.modules.pop("shop")
