from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE = Path(__file__).resolve().parents[2] / "compose.yaml"


@pytest.fixture
def mongo() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]["mongo"]
    return service


def test_compose_starts_a_current_mongodb_as_a_replica_set(mongo: dict[str, Any]) -> None:
    assert mongo["image"] == "mongo:8.0"
    command = mongo["command"]
    assert command[command.index("--replSet") + 1] == "rs0"


def test_the_readme_names_the_set_and_the_address_of_compose(mongo: dict[str, Any]) -> None:
    readme = COMPOSE.with_name("README.md").read_text()
    command = mongo["command"]
    own = f"replicaSet={command[command.index('--replSet') + 1]}"
    assert set(re.findall(r"replicaSet=\w+", readme)) == {own}
    uri = f"mongodb://{mongo['ports'][0].removesuffix(':27017')}/shop?{own}"
    assert f"`{uri}`" in readme
    assert own in COMPOSE.read_text()


def test_compose_opens_the_port_to_this_machine_only(mongo: dict[str, Any]) -> None:
    assert mongo["ports"] == ["127.0.0.1:27017:27017"]


def test_the_health_check_initiates_the_set_and_waits_for_a_primary(mongo: dict[str, Any]) -> None:
    *start, script = mongo["healthcheck"]["test"]
    assert start == ["CMD", "mongosh", "--quiet", "--eval"]
    assert 'rs.initiate({ _id: "rs0", members: [{ _id: 0, host: "127.0.0.1:27017" }] })' in script
    assert "isWritablePrimary" in script
    assert "$" not in script, "compose would take it for a variable"


def test_compose_keeps_the_data_in_a_named_volume(mongo: dict[str, Any]) -> None:
    volumes = yaml.safe_load(COMPOSE.read_text())["volumes"]
    assert [volume.partition(":")[0] for volume in mongo["volumes"]] == list(volumes)
