from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest
from starlette.testclient import TestClient

from mongoq import Queue
from mongoq.dashboard import app
from mongoq.embedded.server import EmbeddedServer

HERE = ("127.0.0.1", 50_000)


class Browser:
    """Somebody in front of a page: follows links, sends the forms that are on it, and no others."""

    def __init__(self, client: TestClient, prefix: str = "") -> None:
        self.client = client
        self.prefix = prefix
        self.text = ""
        self.status = 0

    def get(self, path: str, **options: Any) -> str:
        self._read(self.client.get(f"{self.prefix}{path}", **options))
        return self.text

    def submit(self, act: str, **values: str) -> str:
        """Send the form of this page that asks for an act, filled in with these values."""
        forms = re.findall(r"<form method=\"post\".*?</form>", self.text, re.DOTALL)
        fields = [dict(re.findall(r'<input[^>]*name="([^"]+)" value="([^"]*)"', form)) for form in forms]
        own = next((one for one in fields if one.get("act") == act), None)
        assert own is not None, f"the page has no form for {act!r}"
        return self.post({**{name: unescape(value) for name, value in own.items()}, **values})

    def post(self, fields: dict[str, str], **options: Any) -> str:
        self._read(self.client.post(f"{self.prefix}/act", data=fields, **options))
        return self.text

    def _read(self, response: Any) -> None:
        self.text, self.status = response.text, response.status_code


@pytest.fixture
def queue(server: EmbeddedServer) -> Iterator[Queue]:
    with Queue(server.uri, namespace=f"t-{secrets.token_hex(4)}", grace=0) as queue:
        yield queue


@pytest.fixture
def browse(queue: Queue) -> Callable[..., Browser]:
    """Give `browse(**options)`: a browser in front of a dashboard with these options."""

    def open_(prefix: str = "", client: tuple[str, int] = HERE, **options: Any) -> Browser:
        made = TestClient(app(queue, **{"every": 0.1, **options}), base_url="http://localhost", client=client)
        return Browser(made, prefix)

    return open_


@pytest.fixture
def browser(browse: Callable[..., Browser]) -> Browser:
    return browse()
