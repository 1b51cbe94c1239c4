"""For tests of an application: queues without a server, a clock that is moved, and what to ask of both.

    from mongoq.testing import assert_enqueued, memory_queue, run_due

    def test_an_order_is_billed():
        queue = memory_queue()
        place_order(queue, order=7)
        run_due(queue, bill)
        assert_enqueued(queue, "mail", {"order": 7})

`memory_queue` runs the real operations on mongomock (`mongoq[testing]`): the order of claims, unique values and all
guards are those of a server. What mongomock cannot do (a caller's own sessions and transactions) raises Unsupported.
Each helper takes a `Queue`, or an `AsyncQueue`: then it is awaited. The pytest plugin gives the same as fixtures.
"""

from mongoq.core.clock import FrozenClock, ServerClock
from mongoq.testing.asserting import assert_enqueued, refute_enqueued
from mongoq.testing.outcome import Ran
from mongoq.testing.performing import perform, perform_async
from mongoq.testing.queues import memory_async_queue, memory_queue
from mongoq.testing.recorder import Recorder
from mongoq.testing.running import run_due
from mongoq.testing.tasks import make_task

__all__ = [
    "FrozenClock",
    "Ran",
    "Recorder",
    "ServerClock",
    "assert_enqueued",
    "make_task",
    "memory_async_queue",
    "memory_queue",
    "perform",
    "perform_async",
    "refute_enqueued",
    "run_due",
]
