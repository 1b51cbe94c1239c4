"""`mongoq dashboard`: it says where it listens, serves, ends on SIGTERM, and is not open to others by mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable

import pytest

from mongoq import Queue
from mongoq.cli import main


def test_it_serves_until_it_is_told_to_end(queue: Queue, uri: str) -> None:
    queue.new(queue="mail")
    command = [sys.executable, "-m", "mongoq", "--namespace", queue.namespace, "dashboard", "--port", "0", "--json"]
    environment = {**os.environ, "MONGOQ_URI": uri}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(url, timeout=60) as answer:
                assert "No worker serves mail" in answer.read().decode()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM)
        finally:
            process.kill()


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: capsys.readouterr().err


@pytest.mark.parametrize(
    "options, users, named",
    [
        (["--host", "0.0.0.0"], "", "--host"),  # noqa: S104 -- it is refused
        (["--role", "king"], "", "--role"),
        ([], "ann:x", "MONGOQ_DASHBOARD_USERS"),
        ([], "ann:x:king", "king"),
    ],
)
def test_what_would_open_it_to_others_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    told: Callable[[], str],
    options: list[str],
    users: str,
    named: str,
) -> None:
    monkeypatch.setenv("MONGOQ_URI", "mongodb://127.0.0.1:9")
    monkeypatch.setenv("MONGOQ_DASHBOARD_USERS", users)
    assert main(["dashboard", *options]) == 2
    assert named in told()
