"""Each of the driver's errors has one meaning for a user, and none of its secrets."""

from __future__ import annotations

from typing import Any

import pytest
from bson.errors import InvalidBSON, InvalidDocument
from pymongo import errors as driver
from pymongo.errors import PyMongoError

from mongoq.core.errors import ConfigurationError, IndexMissing, QueueClosed, StorageRefused, StorageUnavailable
from mongoq.storage.drivers.errors import AMBIGUOUS, TRANSIENT, has_label, is_transient, translated
from mongoq.storage.refusals import KeyTaken, PartlyWritten

SECRET = "4111-secret"


def refused(code: int | None, text: str = SECRET, **details: Any) -> driver.OperationFailure:
    return driver.OperationFailure(text, code, {"errmsg": text, **details})


@pytest.mark.parametrize(
    "error",
    [
        driver.AutoReconnect(SECRET),
        driver.NetworkTimeout(SECRET),
        driver.NotPrimaryError(SECRET),
        driver.ConnectionFailure(SECRET),
        driver.WTimeoutError(SECRET, 64),
        driver.WriteConcernError(SECRET, 91),
        driver.ExecutionTimeout(SECRET, 50),
        driver.BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": SECRET}]}),
        driver.BulkWriteError({"writeErrors": [{"code": 11600, "errmsg": SECRET}]}),
        *(refused(code) for code in sorted(AMBIGUOUS)),
    ],
    ids=repr,
)
def test_what_may_have_been_written_is_said_to_be_ambiguous(error: PyMongoError) -> None:
    meant = translated(error, "db:27017/mongoq")
    assert isinstance(meant, StorageUnavailable)
    assert meant.ambiguous
    assert SECRET not in str(meant)


@pytest.mark.parametrize(
    "error",
    [
        driver.WTimeoutError(SECRET, 50),
        driver.WriteConcernError(SECRET, 91),
        driver.BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": SECRET}]}),
    ],
    ids=repr,
)
def test_a_write_without_its_majority_is_no_lost_connection(error: PyMongoError) -> None:
    meant = translated(error, "db:27017/mongoq")
    assert ("majority" in str(meant), "lost" in str(meant)) == (True, False)
    assert isinstance(meant, StorageUnavailable)
    assert meant.code is None, "what is told by a code was not done"


def test_a_secondary_is_said_to_be_no_primary() -> None:
    assert "is not the primary" in str(translated(driver.NotPrimaryError(SECRET), "db:27017/mongoq"))


@pytest.mark.parametrize(
    "text, said",
    [
        ("db:27017: [Errno 111] Connection refused", "answers at db:27017/mongoq"),
        ("No replica set members match selector 'Primary()'", "the replica set has no primary"),
        ('No replica set members available for replica set name "rs0", Timeout: 10s', "set named 'rs0' is there"),
        ("configured to connect to a replica set named 'rs0' but this node belongs to", "set named 'rs0' is there"),
        ("SSL handshake failed: certificate verify failed", "TLS could not be agreed on"),
        ("Authentication failed.", "the password is wrong"),
    ],
)
def test_no_server_is_certainly_not_written_to_and_says_what_to_look_at(text: str, said: str) -> None:
    meant = translated(driver.ServerSelectionTimeoutError(f"{text} {SECRET}"), "db:27017/mongoq")
    assert isinstance(meant, StorageUnavailable)
    assert not meant.ambiguous
    assert said in str(meant)
    assert SECRET not in str(meant)


@pytest.mark.parametrize(
    "code, said",
    [
        (13, "readWrite"),
        (18, "authSource"),
        (20, "replica set"),
        (86, "mongoq init"),
        (121, "validator"),
        (8, "disk is full"),
        (17419, "16 MiB"),
        (None, "see its log"),
        (99999, "see its log"),
    ],
)
def test_a_refusal_says_what_to_do_and_its_code(code: int | None, said: str) -> None:
    meant = translated(refused(code, codeName="SomeName"), "db")
    assert type(meant) is StorageRefused
    assert (said in str(meant), f"(code {code}, SomeName)" in str(meant)) == (True, True)
    assert meant.code == code
    assert SECRET not in str(meant)


@pytest.mark.parametrize(
    "text",
    ["hint provided does not correspond to an existing index", "error processing query: planner returned: bad hint"],
)
def test_a_hint_without_its_index_names_the_command_that_makes_it(text: str) -> None:
    meant = translated(refused(2, text), "db")
    assert isinstance(meant, IndexMissing)
    assert "mongoq init" in str(meant)


DUPLICATE = {"keyPattern": {"unique": 1}, "keyValue": {"unique": SECRET}, "errmsg": f"dup key: {SECRET}"}


@pytest.mark.parametrize(
    "error",
    [driver.DuplicateKeyError(SECRET, 11000, DUPLICATE), refused(11000, keyPattern={"unique": 1})],
    ids=["insert_one", "command"],
)
def test_a_taken_key_names_its_field_but_not_the_value(error: PyMongoError) -> None:
    meant = translated(error, "db")
    assert isinstance(meant, KeyTaken)
    assert meant.field == "unique"
    assert SECRET not in str(meant)


def bulk(*errors: dict[str, Any], **details: Any) -> driver.BulkWriteError:
    return driver.BulkWriteError({"writeErrors": list(errors), **details})


def test_every_refused_write_of_a_batch_is_told_by_its_place_and_kind() -> None:
    validator = {"code": 121, "index": 4, "errmsg": SECRET}
    id_taken = {"code": 11000, "index": 9, "errmsg": SECRET, "keyPattern": {"_id": 1}}
    meant = translated(bulk({"code": 11000, "index": 2, **DUPLICATE}, validator, id_taken), "db")
    assert isinstance(meant, PartlyWritten)
    assert {place: getattr(error, "field", None) for place, error in meant.errors.items()} == {
        2: "unique",
        4: None,
        9: "_id",
    }
    assert "validator" in str(meant.errors[4])
    assert SECRET not in str(meant) + str(meant.errors)


@pytest.mark.parametrize(
    "error",
    [
        bulk({"code": 11000, "index": 2, **DUPLICATE}, {"code": 11600, "index": 3, "errmsg": SECRET}),
        bulk({"code": 11000, "index": 2, **DUPLICATE}, writeConcernErrors=[{"code": 64, "errmsg": SECRET}]),
    ],
    ids=["the server shuts down", "no majority"],
)
def test_taken_keys_do_not_hide_that_the_rest_of_the_batch_is_not_safe(error: PyMongoError) -> None:
    meant = translated(error, "db")
    assert isinstance(meant, StorageUnavailable)
    assert meant.ambiguous


def test_a_taken_key_of_an_old_server_is_the_id() -> None:
    meant = translated(driver.DuplicateKeyError(SECRET, 11000, {}), "db")
    assert isinstance(meant, KeyTaken)
    assert meant.field == "_id"


@pytest.mark.parametrize(
    "error, kind",
    [
        (driver.InvalidOperation("Cannot use MongoClient after close"), QueueClosed),
        (driver.ConfigurationError("unknown read preference"), ConfigurationError),
        (driver.InvalidURI("Username and password must be escaped"), ConfigurationError),
        (driver.DocumentTooLarge(SECRET), StorageRefused),
        (InvalidDocument(f"cannot encode object: {SECRET}"), StorageRefused),
        (InvalidBSON(SECRET), StorageRefused),
        (PyMongoError(SECRET), StorageRefused),
    ],
    ids=repr,
)
def test_the_driver_s_own_refusals_have_a_meaning_too(error: PyMongoError, kind: type[Exception]) -> None:
    meant = translated(error, "db")
    assert type(meant) is kind
    assert SECRET not in str(meant)


def test_a_malformed_uri_is_refused_without_quoting_it() -> None:
    meant = translated(driver.InvalidURI(f'Bad database name "{SECRET}@localhost/shop"'), "")
    assert isinstance(meant, ConfigurationError)
    assert SECRET not in str(meant)


NO_SESSIONS = "Sessions are not supported by this MongoDB deployment"


def test_a_server_without_sessions_is_one_that_changes_its_role() -> None:
    meant = translated(driver.ConfigurationError(NO_SESSIONS), "db:27017/mongoq")
    assert isinstance(meant, StorageUnavailable)
    assert "changing its role" in str(meant)
    assert is_transient(meant), "a transaction is run again"
    assert has_label(meant, TRANSIENT)


def test_so_it_is_for_a_write_of_the_handler_s_own() -> None:
    assert is_transient(driver.ConfigurationError(NO_SESSIONS)), "it comes from the driver as it is"
    assert not is_transient(driver.ConfigurationError("Collation is unsupported for unacknowledged writes."))


@pytest.mark.parametrize(
    "error, kind, says",
    [
        (driver.WaitQueueTimeoutError(SECRET), StorageUnavailable, "maxPoolSize"),
        (driver.CursorNotFound(SECRET, 43), StorageUnavailable, "cursor"),
        (driver.ProtocolError(SECRET), StorageUnavailable, "no answer"),
        (driver.InvalidOperation("Cannot use ended session"), StorageRefused, "session"),
        (driver.InvalidOperation("No transaction started"), StorageRefused, "transaction is over"),
        (driver.InvalidOperation("Cannot use MongoClient after close"), QueueClosed, "closed"),
        (driver.ConfigurationError(f"reports wire version 2, {SECRET}"), ConfigurationError, "too old"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_no_error_gives_a_cause_that_is_not_its_own(error: Exception, kind: type[Exception], says: str) -> None:
    meant = translated(error, "db:27017/mongoq")
    assert isinstance(meant, kind)
    assert says in str(meant)
    assert SECRET not in str(meant)
    assert "it should look like" not in str(meant)


def test_a_pool_that_is_used_up_leaves_no_doubt() -> None:
    meant = translated(driver.WaitQueueTimeoutError(SECRET), "db")
    assert isinstance(meant, StorageUnavailable)
    assert not meant.ambiguous, "nothing was sent"
