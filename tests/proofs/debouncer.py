"""A producer that asks for the same work as others at the same time: `debouncer.py URI NAMESPACE MODE DELAY ROUNDS`.

It says when it is ready, waits for a line with the instant to begin at, and prints what it sent in each round and when.
All instants are on the clock that the processes of a machine share.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time

from mongoq import Queue

PACE = 0.05
"""Seconds from one round to the next."""
JITTER = 0.03
"""Seconds within which all send in a round."""


def main() -> None:
    uri, namespace, mode, delay, rounds = sys.argv[1:]
    told = []
    with Queue(uri, namespace=namespace) as queue:
        queue.time()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        begin = float(sys.stdin.readline())
        for number in range(int(rounds)):
            at = begin + number * PACE + random.uniform(0, JITTER)  # noqa: S311 -- no secret
            threading.Event().wait(max(0.0, at - time.monotonic()))
            sent = time.monotonic()
            queue.new({"sent": sent}, unique=f"u{number}", on_conflict=mode, delay=float(delay))
            told.append((number, sent, time.monotonic()))
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
