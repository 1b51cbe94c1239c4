"""The queue object of the operator's tale, for `mongoq worker`."""

from __future__ import annotations

from mongoq import Queue
from tests.acceptance.tale_functions import tasks

queue = Queue()
queue.include(tasks)
