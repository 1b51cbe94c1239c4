"""What a diagnosis reads of servers that a test cannot start: their replies are scripted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

import pytest

from mongoq.diagnosis.facts import Members, Oplog, Server
from mongoq.diagnosis.registry import judge
from mongoq.storage.context import Context
from mongoq.storage.operations.examining import servers
from tests.unit.diagnosis.answers import HELLO, NOW, Reply, run, scripted

Answer = Callable[[Any], Reply]


def test_the_server_tells_its_set_and_its_arbiters_to_anybody() -> None:
    assert run(servers.server(), scripted(hello=HELLO)) == Server(
        "rs", hosts=("a:1", "b:1", "c:1"), arbiters=("d:1",), primary="a:1"
    )
    assert run(servers.server(), scripted(hello={"ok": 1})) == Server()
    assert run(servers.server(), scripted(hello={"msg": "isdbgrid"})).sharded


def test_members_that_vote_that_are_down_and_that_lag_are_read_from_the_set() -> None:
    config = {"members": [{}, {"votes": 1}, {"votes": 0}], "writeConcernMajorityJournalDefault": False}
    status = [
        {"name": "a:1", "stateStr": "PRIMARY", "health": 1, "optimeDate": NOW},
        {"name": "b:1", "stateStr": "SECONDARY", "health": 1, "optimeDate": NOW - timedelta(seconds=40)},
        {"name": "c:1", "stateStr": "(not reachable/healthy)", "health": 0, "optimeDate": NOW},
    ]
    found = run(servers.members(), scripted(replSetGetConfig={"config": config}, replSetGetStatus={"members": status}))
    assert found == Members(2, False, ("c:1",), {"b:1": timedelta(seconds=40)})
    assert [one.check for one in judge(Server("rs", primary="a:1"), found).findings] == [
        "server.journal", "server.voters", "server.members", "server.members",
    ]  # fmt: skip


class Stamp(NamedTuple):
    time: int


def test_the_oplog_covers_what_lies_between_its_ends() -> None:
    def found(command: Any) -> Any:
        return {"cursor": {"firstBatch": [{"ts": Stamp(1_000 if command["sort"]["$natural"] == 1 else 4_600)}]}}

    sizes = {"cursor": {"firstBatch": [{"storageStats": {"size": 95, "maxSize": 100}}]}}
    assert run(servers.oplog(), scripted(find=found, aggregate=sizes)) == Oplog(timedelta(hours=1), full=True)


def test_parameters_that_a_server_does_not_know_are_as_by_default() -> None:
    found = run(servers.parameters(), scripted(getParameter={"ttlMonitorEnabled": False}))
    assert (found.ttl_monitor, found.ttl_sleep, found.snapshot_window) == (False, timedelta(seconds=60), timedelta(0))


def privilege(actions: str, **resource: Any) -> dict[str, Any]:
    return {"resource": resource, "actions": actions.split()}


ALL = "find insert update remove listIndexes changeStream"
CASES = [
    ([privilege(ALL, anyResource=True)], []),
    ([privilege(ALL, db="shop", collection="")], []),
    ([privilege(ALL, db="", collection="ns.tasks"), privilege(ALL, db="shop", collection="ns.workers")], []),
    ([privilege("insert listIndexes", db="shop", collection="ns.tasks")], ["worker", "operator"]),
    ([privilege("find", db="shop", collection="")], ["producer", "worker", "operator"]),
    ([privilege(ALL, db="other", collection=""), privilege(ALL, cluster=True)], ["producer", "worker", "operator"]),
]


@pytest.mark.parametrize("privileges, roles", CASES)
def test_the_rights_of_a_user_are_held_against_what_each_role_needs(
    make_context: Callable[..., Context], privileges: list[Any], roles: list[str]
) -> None:
    told = {"authenticatedUsers": [{"user": "ann"}], "authenticatedUserPrivileges": privileges}
    found = run(servers.rights(make_context(), "shop"), scripted(connectionStatus={"authInfo": told}))
    assert [role for role, lacks in found.lacks.items() if lacks] == roles


def test_a_server_that_asks_nobody_for_a_name_lets_everybody_do_everything(
    make_context: Callable[..., Context],
) -> None:
    found = run(servers.rights(make_context(), "shop"), scripted(connectionStatus={"authInfo": {}}))
    assert not any(found.lacks.values())
