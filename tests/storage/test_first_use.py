"""The first use of a namespace inside a transaction of the caller's."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from pymongo import MongoClient

from mongoq import NewTask, Queue, StorageUnavailable
from mongoq.embedded.server import EmbeddedServer

USES: dict[str, Callable[[Queue, Any], object]] = {
    "new": lambda queue, session: queue.new(session=session),
    "a unique one": lambda queue, session: queue.new(unique="u", session=session),
    "many": lambda queue, session: queue.new_many([{}] * 3, session=session),
    "a change": lambda queue, session: queue.modify(insert=[NewTask()], session=session),
}


@pytest.mark.parametrize("use", USES)
def test_a_transaction_that_began_before_its_collection_names_init_and_may_be_run_again(
    server: EmbeddedServer, use: str
) -> None:
    with MongoClient[Any](server.uri) as client, client.start_session() as session:
        queue = Queue(client, namespace=f"t-{secrets.token_hex(4)}")
        session.start_transaction()
        client["shop"]["orders"].find_one({}, session=session)
        with pytest.raises(StorageUnavailable, match="mongoq init") as caught:
            USES[use](queue, session)
        assert caught.value.has_error_label("TransientTransactionError")  # type: ignore[attr-defined]
        session.abort_transaction()
        with session.start_transaction():
            USES[use](queue, session)
        assert queue.size() in (1, 3)


@pytest.mark.parametrize("use", USES)
def test_the_driver_s_own_replay_gets_over_the_first_use(server: EmbeddedServer, use: str) -> None:
    with MongoClient[Any](server.uri) as client, client.start_session() as session:
        queue = Queue(client, namespace=f"t-{secrets.token_hex(4)}")

        def order(own: Any) -> None:
            client["shop"]["orders"].find_one({}, session=own)
            USES[use](queue, own)

        session.with_transaction(order)
        assert queue.size() in (1, 3)
