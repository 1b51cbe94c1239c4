"""A process that moves money until it is ended: `python bank_teller.py URI NAMESPACE ACCOUNTS JOURNAL`.

The journal says of each transfer what the teller knows: that it is about to be made, was made, or was refused.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from contextlib import suppress
from pathlib import Path

from mongoq import Modification, NewTask, Queue
from mongoq.core.errors import StorageUnavailable
from mongoq.core.tasks.conflicts import DependencyError


def main() -> None:
    uri, namespace, accounts, folder = sys.argv[1:]
    journal = os.open(Path(folder) / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = 0
    with Queue(uri, namespace=namespace) as queue:
        while True:
            number += 1
            key = f"transfer-{os.getpid()}-{number}"
            giver, taker = random.sample(range(int(accounts)), 2)
            transfer = None
            while transfer is None:
                with suppress(StorageUnavailable):
                    transfer = prepared(queue, key, f"account-{giver}", f"account-{taker}", 1 + number % 50)
            os.write(journal, f"intended {key}\n".encode())
            made = settled(queue, transfer)
            if made and number % 5 == 0:  # as if the reply had been lost
                made = settled(queue, transfer)
            os.write(journal, f"{'made' if made else 'refused'} {key}\n".encode())


def prepared(queue: Queue, key: str, giver: str, taker: str, amount: int) -> Modification:
    """Move `amount` between two accounts as they are now, and leave a record of it."""
    tasks = {task.key: task for task in queue.tasks(keys=[giver, taker])}
    changes = []
    for name, growth in ((giver, -amount), (taker, amount)):
        tags = {"balance": tasks[name].tags["balance"] + growth, "transfers": tasks[name].tags["transfers"] + 1}
        changes.append(tasks[name].as_change(tags=tags))
    record = NewTask({"giver": giver, "taker": taker, "amount": amount}, key=key, queue="ledger")
    return Modification(change=changes, insert=[record])


def settled(queue: Queue, transfer: Modification) -> bool:
    """Whether it was made; asked for again with the same value until that is known."""
    while True:
        try:
            queue.modify(transfer)
        except DependencyError:
            return False
        except StorageUnavailable:
            threading.Event().wait(0.1)
        else:
            return True


if __name__ == "__main__":
    main()
