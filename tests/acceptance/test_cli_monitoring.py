"""`mongoq worker` as monitoring sees it: its metrics, its health, its log lines as JSON."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from mongoq import Queue, TaskState
from mongoq.embedded.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
MODULE = """
import logging

def handle(task):
    logging.getLogger("shop").warning("at work")
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as error:
        return 0, str(error)


def test_a_worker_serves_its_metrics_and_health_and_logs_json(
    server: EmbeddedServer, tmp_path: Path, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_handlers.py").write_text(MODULE)
    namespace, port = f"cli-{secrets.token_hex(4)}", free_port()
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "MONGOQ_URI": server.uri, "MONGOQ_NAMESPACE": namespace, "PYTHONPATH": path}
    command = [sys.executable, "-m", "mongoq"]
    ports = [f"--metrics-port={port}", f"--health-port={port}", "--log-format=json"]
    with (tmp_path / "log").open("w+") as log, Queue(server.uri, namespace=namespace) as queue:
        worker = subprocess.Popen(
            [*command, "worker", "shop_handlers:handle", *ports], cwd=tmp_path, env=environment, stderr=log
        )
        try:
            until(lambda: asked(port, "/ready")[0] == 200, why="the worker is ready")
            assert asked(port, "/live")[0] == 200
            task = queue.new(keep_completed=60)
            until(lambda: queue.get(task.key).state is TaskState.COMPLETED, why="the task is done")
            _, metrics = asked(port, "/metrics")
            assert re.search(r'^mongoq_tasks_run_total\{.*queue="default"\} 1\.0', metrics, re.MULTILINE)
            until(queue.workers, why="the worker has beaten")
            probe = [*command, "worker-health"]
            assert subprocess.run(probe, env=environment, cwd=tmp_path, check=False).returncode == 0
            assert (
                subprocess.run([*probe, f"--port={port}"], env=environment, cwd=tmp_path, check=False).returncode == 0
            )
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()
            worker.wait(60)
        log.seek(0)
        lines = [json.loads(line) for line in log.read().splitlines()]
    [at_work] = [line for line in lines if line["logger"] == "shop"]
    assert (at_work["task_key"], at_work["task_attempt"]) == (task.key, 1)
    refused = subprocess.run(
        [*probe, f"--port={port}", "--json"], env=environment, cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert (refused.returncode, json.loads(refused.stdout)["healthy"]) == (1, False)
