"""The event loop of a worker's own, in a daemon thread."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable

from mongoq.core.host.limits import lacks_thread
from mongoq.worker.executors.daemon_pool import DaemonPool

log = logging.getLogger("mongoq.worker")


class OwnLoop:
    """An event loop in a daemon thread of its own."""

    def __init__(self) -> None:
        # With a factory it does not touch the event loop of the thread that is calling.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.loop = self._runner.get_loop()
        self._over: Callable[[], bool] = lambda: False
        # An empty context: a session that the application bound must not be joined from here.
        run = contextvars.Context().run
        self.thread = threading.Thread(target=run, args=(self._serve,), name="mongoq-asyncio", daemon=True)

    def start(self, over: Callable[[], bool]) -> None:
        """Run the loop until it is stopped and `over` says so."""
        self._over = over
        self.loop.set_default_executor(DaemonPool())
        self.thread.start()

    def join(self, timeout: float) -> None:
        """Wait for its end, unless that is up to the calling thread."""
        if threading.current_thread() is not self.thread:
            self.thread.join(timeout)

    def _serve(self) -> None:
        try:
            with self._runner:
                while not self._over():
                    try:
                        self.loop.run_forever()
                    except BaseException:
                        # asyncio lets SystemExit and KeyboardInterrupt of a task that a handler made out of the loop.
                        log.exception("the event loop went on after an exit in a task of a handler's own")
        except BaseException as error:
            if not lacks_thread(error):  # asyncio closes its loop by one
                log.exception("the event loop of the handlers ended badly")
