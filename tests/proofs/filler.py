"""A producer that enqueues as fast as it can into a bounded queue: `filler.py URI NAMESPACE MAX_SIZE MODE`.

It says when it is ready, begins at a line on its input and ends at the next, and prints how many it has enqueued.
"""

from __future__ import annotations

import sys
import threading

from mongoq import Queue, QueueFull


def main() -> None:
    uri, namespace, most, mode = sys.argv[1:]
    over = threading.Event()

    def listen() -> None:
        sys.stdin.readline()
        over.set()

    made = 0
    with Queue(uri, namespace=namespace, max_size=int(most)) as queue:
        queue.time()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        threading.Thread(target=listen, daemon=True).start()
        while not over.is_set():
            try:
                if mode == "many":
                    made += queue.load([{}] * 20, wait=0.5)
                else:
                    queue.new({}, wait=0.5)
                    made += 1
            except QueueFull as full:
                made += full.enqueued
    sys.stdout.write(f"{made}\n")


if __name__ == "__main__":
    main()
