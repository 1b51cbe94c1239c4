"""What names the server, the namespace and the claimant: white space, control characters, reserved names, options."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import AsyncMongoClient, MongoClient

from mongoq import AsyncQueue, ConfigurationError, Queue
from mongoq.core.host.environment import namespace_named, uri_named

HOST = "mongodb://127.0.0.1:1"
SECRET = "hush?w=x&ss=1"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MONGOQ_URI", "MONGOQ_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("end", ["\n", "\r\n", " \t", "\u00a0", "\ufeff"])
def test_white_space_at_the_ends_of_a_setting_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setenv("MONGOQ_URI", f"{end}{HOST}/shop{end}")
    monkeypatch.setenv("MONGOQ_NAMESPACE", f"orders{end}")
    for target in (None, f"{HOST}/shop{end}"):
        with Queue(target) as queue:
            assert (queue._base.driver.connection.database.name, queue.namespace) == ("shop", "orders")
    with Queue(HOST, namespace=f"n{end}", claimant=f"c{end}") as queue:
        assert (queue.namespace, queue._base.context.options.claimant) == ("n", "c")


def test_a_setting_of_white_space_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGOQ_URI", " \n")
    monkeypatch.setenv("MONGOQ_NAMESPACE", "\n")
    assert (uri_named(), namespace_named()) == (None, "default")


@pytest.mark.parametrize("inside", ["\n", "\0", "\x1b", "\x7f", "\u200b", "\u202e"])
def test_a_character_that_cannot_be_seen_is_refused_without_the_value(
    monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    uri = f"mongodb://user:{SECRET}@127.0.0.1/sh{inside}op"
    named = dict.fromkeys(("namespace", "claimant"), f"a{inside}b")
    for options in ({"target": uri}, *({"target": HOST, name: value} for name, value in named.items())):
        with pytest.raises(ConfigurationError, match=f"U\\+{ord(inside):04X}") as caught:
            Queue(**options)  # type: ignore[arg-type]
        assert "hush" not in str(caught.value)
    if inside != "\0":  # no variable can hold one
        monkeypatch.setenv("MONGOQ_URI", uri)
        with pytest.raises(ConfigurationError, match="MONGOQ_URI"):
            Queue()


def test_one_that_is_percent_encoded_is_refused_as_well() -> None:
    with pytest.raises(ConfigurationError, match="database"):
        Queue(f"{HOST}/shop%0A")


@pytest.mark.parametrize("name", ["admin", "local", "config", "Admin"])
def test_a_database_that_mongodb_keeps_for_itself_is_refused(name: str) -> None:
    client: MongoClient[Any] = MongoClient(HOST, connect=False)
    with pytest.raises(ConfigurationError, match="authSource"):
        Queue(f"{HOST}/{name}")
    with pytest.raises(ConfigurationError, match="authSource"):
        Queue(client[name])
    with pytest.raises(ConfigurationError, match="authSource"):
        AsyncQueue(AsyncMongoClient[Any](f"{HOST}/{name}"))
    client.close()


@pytest.mark.parametrize(
    "options, name",
    [
        ("readPreference=best", "readPreference"),
        ("w=1&journal=perhaps", "journal"),
        ("authMechanism=MAGIC", "authMechanism"),
        ("tlsCAFile=/nowhere", "tlsCAFile"),
        ("compressors=zip&maxPoolSize=-1", "maxPoolSize"),
        ("tls=true&tlsInsecure=true&tlsAllowInvalidCertificates=true", "tlsInsecure"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_advice_about_a_uri_names_the_option(options: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"option .*{name}") as caught:
        Queue(f"mongodb://user:geheim@127.0.0.1:1/shop?{options}")
    assert "geheim" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "uri", ["mongodb://user:hush?w=x@h/shop", "mongodb://user:hu/sh?ss=hush@h", "mongodb://u:hush@h:x"]
)
def test_a_part_of_a_password_is_not_taken_for_an_option(uri: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Queue(uri)
    assert not {"hush", "ss"} & set(str(caught.value).replace("=", " ").split())


def test_a_part_of_a_password_is_not_shown_as_a_database() -> None:
    with pytest.raises(ConfigurationError, match="database") as caught:
        Queue(f"mongodb://user:a/{'hush' * 20}?b@127.0.0.1:1/shop")
    assert "hush" not in str(caught.value)
