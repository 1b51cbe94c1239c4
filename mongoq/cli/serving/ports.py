"""Serve the metrics and the health of a worker by HTTP, in threads of their own."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final, NamedTuple

from mongoq import AsyncQueue, Queue, WorkerHealth
from mongoq.cli.options import refuse

log = logging.getLogger("mongoq.cli")

SLOWEST: Final = 10
"""Seconds in which a request has to come."""


class Said(NamedTuple):
    """What is answered."""

    status: int
    kind: str
    body: bytes


Page = Callable[[str], Said]
"""Makes an answer, for somebody who accepts these kinds of content."""


@contextmanager
def serving(queue: Queue | AsyncQueue, metrics: int | None, health: int | None) -> Iterator[None]:
    """Serve `/metrics` on one port, `/live` and `/ready` on another, or all on the same; None: not at all."""
    pages: dict[int, dict[str, Page]] = {}
    with ExitStack() as stack:
        if metrics is not None:
            pages.setdefault(metrics, {})["/metrics"] = _metrics(queue, stack)
        if health is not None:
            own = pages.setdefault(health, {})
            own["/live"] = lambda _: _health(queue, lambda found: found.live)
            own["/ready"] = lambda _: _health(queue, lambda found: found.ready)
        for port, served in pages.items():
            stack.enter_context(listening(port, served))
        yield


@contextmanager
def listening(port: int, pages: Mapping[str, Page]) -> Iterator[int]:
    """Serve these pages on all interfaces; the port, which the system chooses for 0."""
    kind = type("Answering", (Answering,), {"pages": dict(pages)})
    try:
        server = ThreadingHTTPServer(("", port), kind)
    except OSError as error:
        refuse(f"the port {port} cannot be opened: {error.strerror or error}")
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="mongoq-ports", daemon=True)
    thread.start()
    log.info("serving %s on port %d", ", ".join(pages), server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(1)


class Answering(BaseHTTPRequestHandler):
    """Answers GET and HEAD of the pages of its server."""

    pages: ClassVar[Mapping[str, Page]] = {}
    timeout = SLOWEST
    protocol_version = "HTTP/1.1"
    server_version = "mongoq"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer."""
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            said = Said(404, "text/plain", f"there are: {', '.join(self.pages)}\n".encode())
        else:
            try:
                said = page(self.headers.get("Accept", ""))
            except Exception:
                log.exception("%s could not be answered", self.path)
                said = Said(500, "text/plain", b"see the log of the worker\n")
        self.send_response(said.status)
        self.send_header("Content-Type", said.kind)
        self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.body)

    do_HEAD = do_GET  # noqa: N815 -- as above

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as above
        """Log no requests: probes come every few seconds."""


def _health(queue: Queue | AsyncQueue, fine: Callable[[WorkerHealth], bool]) -> Said:
    found = queue.health()
    body = json.dumps(asdict(found)) + "\n"
    return Said(200 if fine(found) else 503, "application/json", body.encode())


def _metrics(queue: Queue | AsyncQueue, stack: ExitStack) -> Page:
    try:
        from mongoq.contrib.prometheus import Metrics  # noqa: PLC0415 -- of an extra
    except ModuleNotFoundError as missing:
        refuse(f"--metrics-port: {missing}")
    from prometheus_client import REGISTRY  # noqa: PLC0415 -- as above
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 -- as above

    metrics = Metrics(queue)
    stack.callback(metrics.close)
    REGISTRY.register(metrics)
    stack.callback(REGISTRY.unregister, metrics)

    def page(accepted: str) -> Said:
        encode, kind = choose_encoder(accepted)
        return Said(200, kind, encode(REGISTRY))

    return page
