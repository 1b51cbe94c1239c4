"""Money is moved between tasks by many processes, some of them killed, while the primary changes: none is lost or made.

An account is a task whose tags hold its balance and how many transfers it took part in. Each transfer leaves a task
of its own, so that what every account should hold can be told afterwards.
"""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongoq import NewTask, Queue
from mongoq.core.errors import StorageError
from mongoq.core.tasks.conflicts import DependencyError
from mongoq.embedded.server import EmbeddedServer
from proving.cluster import Cluster

TELLER: Final = Path(__file__).with_name("bank_teller.py")
ACCOUNTS: Final = 100
EACH: Final = 1_000
TELLERS: Final = 8


class Bank:
    """The accounts, and the processes that move money between them."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self.folder = folder
        self.queue = Queue(uri, namespace=f"t-{secrets.token_hex(4)}")
        self.client: MongoClient[dict[str, Any]] = MongoClient(uri)
        self.accounts = self.client["mongoq"][f"{self.queue.namespace}.tasks"]
        self.tellers: list[subprocess.Popen[bytes]] = []
        self.audits = 0
        empty = {"balance": EACH, "transfers": 0}
        self.queue.new_many([NewTask(empty, key=f"account-{n}", queue="accounts") for n in range(ACCOUNTS)])

    def hire(self) -> None:
        """Start another teller."""
        command = [sys.executable, str(TELLER), self.uri, self.queue.namespace, str(ACCOUNTS), str(self.folder)]
        self.tellers.append(subprocess.Popen(command))

    def kill_one(self) -> None:
        """Kill a teller in the middle of whatever it does, and start another."""
        teller = self.tellers.pop(random.randrange(len(self.tellers)))  # noqa: S311 -- no secret
        teller.kill()
        teller.wait()
        self.hire()

    def audit(self) -> None:
        """All balances at one moment add up to what there was; no audit where the server does not answer."""
        with suppress(PyMongoError), self.client.start_session(snapshot=True) as session:
            rows = list(self.accounts.find({"queue": "accounts"}, session=session))
            assert sum(row["tags"]["balance"] for row in rows) == ACCOUNTS * EACH
            self.audits += 1

    def audit_by_dependency(self) -> None:
        """What was read one after the other stood so all at once, and adds up."""
        tasks = self.queue.tasks(queue="accounts", limit=None)
        self.queue.modify(depend=tasks)
        assert sum(task.tags["balance"] for task in tasks) == ACCOUNTS * EACH

    def at_rest(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The tags of the accounts and of the records of transfers, all at one moment."""
        rows = None
        give_up = time.monotonic() + 30
        while rows is None:  # just after a fail-over a snapshot may be refused as too old
            try:
                with self.client.start_session(snapshot=True) as session:
                    rows = list(self.accounts.find({}, session=session))
            except PyMongoError:
                if time.monotonic() > give_up:
                    raise
        accounts, ledger = (
            {row["_id"]: row["tags"] for row in rows if row["queue"] == queue} for queue in ("accounts", "ledger")
        )
        return accounts, ledger

    def journal(self) -> dict[str, set[str]]:
        """What the tellers knew, by what it was."""
        lines = [line.split() for file in self.folder.iterdir() for line in file.read_text().splitlines()]
        return {kind: {words[1] for words in lines if words[0] == kind} for kind in ("intended", "made", "refused")}

    def close(self) -> None:
        """Kill what is left, by its pid."""
        for teller in self.tellers:
            teller.kill()
            teller.wait()
        self.queue.close()
        self.client.close()


def work(bank: Bank, seconds: float, disturb: Callable[[], object], every: float) -> None:
    """Let money be moved for so long, while tellers are killed, accounts are audited and `disturb` is called."""
    for _ in range(TELLERS):
        bank.hire()
    give_up = time.monotonic() + 60
    while not bank.journal()["made"] and time.monotonic() < give_up:
        threading.Event().wait(0.05)
    began = time.monotonic()
    kill_at, disturb_at = began + 0.7, began + every / 2
    while (now := time.monotonic()) < began + seconds:
        bank.audit()
        if now >= kill_at:
            bank.kill_one()
            kill_at = now + 0.7
        if now >= disturb_at:
            disturb()
            disturb_at = now + every
        threading.Event().wait(0.02)
    for teller in bank.tellers:
        teller.kill()
        teller.wait()
    bank.tellers.clear()


def settle_accounts(bank: Bank) -> int:
    """Hold the accounts against the records of the transfers; how many there were."""
    known = bank.journal()
    accounts, ledger = bank.at_rest()
    assert known["made"] <= ledger.keys() <= known["intended"]
    assert not known["refused"] & ledger.keys()

    balances: Counter[str] = Counter()
    transfers: Counter[str] = Counter()
    for tags in ledger.values():
        balances[tags["giver"]] -= tags["amount"]
        balances[tags["taker"]] += tags["amount"]
        transfers.update([tags["giver"], tags["taker"]])
    assert len(accounts) == ACCOUNTS
    for key, tags in accounts.items():
        assert tags == {"balance": EACH + balances[key], "transfers": transfers[key]}
    assert bank.audits > 0
    assert known["made"]
    return len(ledger)


def try_it(bank: Bank, seconds: float, disturb: Callable[[], object], every: float) -> None:
    work(bank, seconds, disturb, every)
    count = settle_accounts(bank)
    refused = len(bank.journal()["refused"])
    print(f"bank: {count} transfers, {refused} refused, {bank.audits} audits")  # noqa: T201


def test_no_money_is_lost_or_made_where_tellers_are_killed(server: EmbeddedServer, tmp_path: Path) -> None:
    with closing(Bank(server.uri, tmp_path)) as bank:
        bank.audit_by_dependency()
        try_it(bank, 7, disturb=lambda: None, every=60)


@pytest.mark.parametrize("seconds", [8, pytest.param(30, marks=pytest.mark.long)])
def test_no_money_is_lost_or_made_where_the_primary_steps_down(
    cluster: Cluster, tmp_path: Path, until: Callable[..., None], seconds: int
) -> None:
    def step_down() -> None:
        with suppress(LookupError):
            cluster.step_down(2)
            stepped.append(1)

    stepped: list[int] = []
    with closing(Bank(cluster.uri, tmp_path)) as bank:
        try_it(bank, seconds, disturb=step_down, every=6)
        assert stepped
        if seconds > 8:
            until(lambda: _audited(bank), timeout=150, why="the transactions of killed tellers have ended")


def _audited(bank: Bank) -> bool:
    try:
        bank.audit_by_dependency()
    except (StorageError, DependencyError):
        return False
    return True
