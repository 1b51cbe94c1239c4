from __future__ import annotations

import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any, Final

import pytest
import uvicorn
from starlette.testclient import TestClient

from mongoq import Queue
from mongoq.dashboard import app
from mongoq.dashboard.access.rights import user
from mongoq.embedded.server import EmbeddedServer

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
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
        made = TestClient(app(queue, **{"every": 0.01, **options}), base_url="http://localhost", client=client)
        return Browser(made, prefix)

    return open_


@pytest.fixture
def browser(browse: Callable[..., Browser]) -> Browser:
    return browse()


class Served:
    """A dashboard behind a socket, which can be lost and come back."""

    def __init__(self, queue: Queue) -> None:
        self.role = "admin"
        self.queue = queue
        self.made = app(queue, auth=lambda _: user("ann", self.role), every=0.2)
        self.port = 0
        self.start()

    def start(self) -> None:
        config = uvicorn.Config(
            self.made, host="127.0.0.1", port=self.port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        listening = config.bind_socket()
        listening.listen(128)  # else who asks before the thread has come so far is refused
        self.port = listening.getsockname()[1]
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([listening],))
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
def served(queue: Queue) -> Iterator[Served]:
    served = Served(queue)
    yield served
    served.stop()


@pytest.fixture
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """Give a page that complains of nothing: no error of a script, nothing that the content policy has blocked."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(30_000)
    heard: list[str] = []
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda told: heard.append(told.text) if "Content Security Policy" in told.text else None)
    yield page
    assert heard == []
