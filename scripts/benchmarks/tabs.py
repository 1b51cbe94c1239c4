"""Open tabs of a dashboard process: what they cost the server and the process, beside one of each view, and none."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from pymongo import MongoClient
from pymongo.database import Database

from benchmarks import scale
from benchmarks.report import Row
from benchmarks.setting import Setting

TABS: Final = 50
SECONDS: Final = 60.0
SETTLING: Final = 5.0
STARTS: Final = 5
READS: Final = ("find", "aggregate", "count", "distinct", "getMore", "insert", "update", "delete", "findAndModify")
PATHS: Final = ("/", "/queues", "/workers", "/history", "/names", "/dead", "/batches", "/limits")
"""What the tabs show, by turns."""


class Cost(NamedTuple):
    """What a while of watching took."""

    commands: float
    """Per second."""
    database: float
    """Time of reads on the server, in % of it."""
    process: float
    """CPU time of the dashboard process, in % of one core."""
    resident: float
    """MB."""


def tabs(setting: Setting, database: Database[Any], namespace: str, pages: Iterable[str]) -> list[Row]:
    """Start a dashboard, look at every page, let nobody, one tab of each view, and 50 of them watch a minute each."""
    first = []
    for _ in range(min(STARTS, setting.rounds(STARTS))):
        scale.beat(database, namespace)
        with _process(setting.uri, namespace) as (_, url):
            first.append(_first_byte(url) * 1000)
    found = [Row("dashboard.first", "ms", first), *_resident_after(setting, database, namespace, pages)]
    with _process(setting.uri, namespace) as (process, url):
        for count, name in ((0, "none"), (len(PATHS), "few"), (TABS, "many")):
            scale.beat(database, namespace)
            cost = asyncio.run(_watched(setting, url, process.pid, count))
            found += [
                Row(f"dashboard.tabs.{name}.commands", "1/s", [cost.commands]),
                Row(f"dashboard.tabs.{name}.database", "%", [cost.database]),
                Row(f"dashboard.tabs.{name}.process", "%", [cost.process]),
                Row(f"dashboard.tabs.{name}.resident", "MB", [cost.resident]),
            ]
    return found


def _resident_after(setting: Setting, database: Database[Any], namespace: str, pages: Iterable[str]) -> list[Row]:
    """The memory of a process at rest, and after every page was looked at."""
    scale.beat(database, namespace)
    with _process(setting.uri, namespace) as (process, url):
        rest = _resident(process.pid)
        for path in pages:
            asyncio.run(_fetched(url, path))
        after = _resident(process.pid)
    return [Row("dashboard.resident.rest", "MB", [rest]), Row("dashboard.resident.pages", "MB", [after])]


async def _watched(setting: Setting, url: str, pid: int, count: int) -> Cost:
    seconds = setting.duration(SECONDS)
    open_ = [asyncio.create_task(_tab(url, PATHS[number % len(PATHS)])) for number in range(count)]
    await asyncio.sleep(min(SETTLING, seconds))
    before, began = _figures(setting.client, pid), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = _figures(setting.client, pid), time.monotonic() - began
    for one in open_:
        if one.done() and one.exception() is not None:
            raise AssertionError("a tab was lost") from one.exception()
        one.cancel()
    await asyncio.gather(*open_, return_exceptions=True)
    commands, reads, cpu = (now - then for then, now in zip(before, after, strict=True))
    return Cost(commands / took, 100 * reads / took, 100 * cpu / took, _resident(pid))


def _figures(client: MongoClient[Any], pid: int) -> tuple[float, float, float]:
    status = client.admin.command("serverStatus")
    commands = sum(status["metrics"]["commands"][name]["total"] for name in READS)
    spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    cpu = sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")
    return commands, status["opLatencies"]["reads"]["latency"] / 1e6, cpu


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024


async def _tab(url: str, path: str) -> None:
    """Do what a page does: hear of each look at the fleet, and fetch itself again."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(_request(url, "/events"))
        async for line in reader:
            if line.startswith(b"event: tick"):
                await _fetched(url, path)
            elif line.startswith(b"event: away"):
                raise AssertionError("the dashboard says that the database is away")
        raise AssertionError("the dashboard has closed the stream of events")
    finally:
        writer.close()


async def _fetched(url: str, path: str) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(_request(url, path))
        text = await reader.read()
        if b" 200 " not in text[:20]:
            raise AssertionError(f"{path}: {text[:80]!r}")
    finally:
        writer.close()


def _request(url: str, path: str) -> bytes:
    host = urlsplit(url).netloc
    return f"GET {path} HTTP/1.1\r\nhost: {host}\r\nx-live: 1\r\nconnection: close\r\n\r\n".encode()


def _first_byte(url: str) -> float:
    async def first() -> float:
        parts, before = urlsplit(url), time.perf_counter()
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(_request(url, "/"))
        await reader.read(1)
        seconds = time.perf_counter() - before
        writer.close()
        return seconds

    return asyncio.run(first())


@contextlib.contextmanager
def _process(uri: str, namespace: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give a dashboard process and its URL."""
    command = [sys.executable, "-m", "mongoq", "--namespace", namespace, "dashboard", "--port", "0", "--json"]
    environment = {**os.environ, "MONGOQ_URI": uri}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
