"""One map from the driver's errors to mongoq's, most specific first.

Messages name what to do and never repeat what the server was sent: its texts may hold a user's data, the
driver's a password.
"""

from __future__ import annotations

import re
from typing import Any, Final

from bson.errors import BSONError
from pymongo import errors as driver

from mongoq.core.errors import (
    ConfigurationError,
    IndexMissing,
    MongoqError,
    QueueClosed,
    StorageRefused,
    StorageUnavailable,
    Unsupported,
)
from mongoq.core.host.limits import NO_DESCRIPTORS, NO_MORE, lacks_descriptor, lacks_thread
from mongoq.storage.commands import TIME_IS_UP, WRITE_CONFLICT
from mongoq.storage.refusals import DUPLICATE, KeyTaken, PartlyWritten

# The server went away or is changing its role; the write may or may not have been applied.
AMBIGUOUS: Final = frozenset({6, 7, TIME_IS_UP, 64, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13388, 13435, 13436})
NO_TRANSACTIONS: Final = 20
TRANSIENT: Final = "TransientTransactionError"
UNKNOWN_COMMIT: Final = "UnknownTransactionCommitResult"

_SET_NAME: Final = re.compile(
    r"""(?:members available for replica set name|to connect to a replica set named) ["']([^"']{1,100})["']"""
)
"""In what the driver says where every server that answered belongs to another set, or to none."""
_UNCONFIRMED: Final = (
    "MongoDB did not confirm in time that a majority of its set has the write: it may exist, or be rolled back; "
    "call again with the same key"
)
_NO_MAJORITY: Final = (64, 100)
_ADVICE: Final = {
    8: "the server's disk is full",
    13: "the user lacks a right; it needs readWrite on the database",
    18: "the user name or the password is wrong, or authSource names the wrong database",
    20: "this needs a replica set; one node is enough",
    26: "the collection does not exist",
    85: "an index of this name exists with other options; drop it and run `mongoq init` again",
    86: "an index of this name exists with other keys; drop it and run `mongoq init` again",
    117: "indexes are being built: begin the transaction again when `mongoq init` is done",
    121: "the collection's validator does not accept it",
    246: "the tasks' collection is newer than this transaction, which sees an earlier moment: begin it again; "
    "`mongoq init`, or any first use of the queue, makes it before",
    251: "the server has ended this transaction, as it does after 60 s: begin it again",
    8000: "the user name or the password is wrong",
    17419: "the task has grown beyond 16 MiB",
}


class Replayable(StorageUnavailable, driver.PyMongoError):
    """The transaction was aborted and may be run again.

    A PyMongoError too, with the labels of the one it stands for: a caller's own `with_transaction` sees what it looks
    for and replays its callback.
    """

    def __init__(self, message: str, error: driver.PyMongoError, code: int | None = None) -> None:
        StorageUnavailable.__init__(self, message, code=code)
        self._message = message
        self._error_labels = {label for label in (TRANSIENT, UNKNOWN_COMMIT) if error.has_error_label(label)}


def has_label(error: BaseException, *labels: str) -> bool:
    """Whether an error, or the driver's error that it was raised from, bears one of these labels."""
    raised = (error, error.__cause__)
    return any(isinstance(one, driver.PyMongoError) and any(map(one.has_error_label, labels)) for one in raised)


def is_transient(error: BaseException) -> bool:
    """Whether a transaction that ended with it may be run again: it was aborted, or its outcome is not known."""
    return has_label(error, TRANSIENT, UNKNOWN_COMMIT) or _without_sessions(error)


RAISED: Final = (driver.PyMongoError, BSONError, ValueError, OverflowError, RecursionError)
"""What a call of the driver may raise because of the server, or of what it was sent."""


def translated(error: Exception, where: str) -> MongoqError:
    """What `error` means to a user of mongoq; `where` names the server, without secrets."""
    meant = _translated(error, where)
    if isinstance(error, driver.PyMongoError) and _without_sessions(error):
        # Nothing was sent. A commit that was tried before may have been made, so it is asked for again first.
        for label in (TRANSIENT, UNKNOWN_COMMIT):
            error._add_error_label(label)  # noqa: SLF001 -- as the driver does
    closed = isinstance(meant, QueueClosed)  # within a transaction that bears the label as well
    if isinstance(error, driver.PyMongoError) and error.has_error_label(TRANSIENT) and not closed:
        return Replayable(str(meant), error, getattr(error, "code", None))
    return meant


def check_threads(error: RuntimeError) -> None:
    """StorageUnavailable where an error says that no thread can be started, as the driver needs for a new server."""
    if lacks_thread(error):
        raise StorageUnavailable(NO_MORE) from error


def _without_sessions(error: BaseException) -> bool:
    """Whether the driver met a server that was neither primary nor secondary when the connection was opened.

    Such a server names no time limit of sessions, so the driver says that it has none.
    """
    return isinstance(error, driver.ConfigurationError) and "essions are not supported" in str(error)


def _not_in_service(error: Exception, where: str) -> MongoqError | None:
    """What an error means that has nothing to do with what was asked for; None: it is another."""
    text = str(error)
    if lacks_descriptor(text):
        return StorageUnavailable(NO_DESCRIPTORS, ambiguous=not isinstance(error, driver.ServerSelectionTimeoutError))
    if _without_sessions(error):
        return StorageUnavailable(f"the MongoDB at {where} is changing its role just now")
    if isinstance(error, driver.WaitQueueTimeoutError):
        return StorageUnavailable("all connections of the MongoDB client are in use; maxPoolSize limits their number")
    if isinstance(error, driver.ProtocolError):
        return StorageUnavailable(f"the MongoDB at {where} answered with what is no answer", ambiguous=True)
    if isinstance(error, driver.CursorNotFound):
        return StorageUnavailable("MongoDB has lost the cursor of a long read, as a fail-over does", code=error.code)
    if isinstance(error, driver.InvalidOperation) and "close" not in text.lower():
        return StorageRefused("the session or its transaction is over, or it belongs to another client")
    if isinstance(error, driver.ConfigurationError) and ("DNS" in text or "resol" in text):
        return StorageUnavailable("the name in the mongodb+srv URI could not be looked up")
    if isinstance(error, driver.ConfigurationError) and "wire version" in text:
        return ConfigurationError(f"the MongoDB at {where} is too old or too new for this version of PyMongo")
    return None


def _translated(error: Exception, where: str) -> MongoqError:
    if (meant := _not_in_service(error, where)) is not None:
        return meant
    if isinstance(error, driver.DuplicateKeyError | driver.BulkWriteError | driver.WriteConcernError):
        return _write_error(error)
    if isinstance(error, driver.ServerSelectionTimeoutError):
        return StorageUnavailable(f"no MongoDB that can be written to answers at {where}{_hint(error)}")
    if isinstance(error, driver.NotPrimaryError):
        return StorageUnavailable(f"the MongoDB at {where} is not the primary of its set just now", ambiguous=True)
    if isinstance(error, driver.ConnectionFailure):
        return StorageUnavailable(f"the connection to MongoDB at {where} was lost", ambiguous=True)
    if isinstance(error, driver.ExecutionTimeout):
        return StorageUnavailable("MongoDB did not finish in time", code=error.code, ambiguous=True)
    if isinstance(error, driver.OperationFailure):
        return _server_error(error.code, _text(error), error.details or {})
    if isinstance(error, driver.InvalidOperation):
        return QueueClosed("the MongoDB client was closed")
    if isinstance(error, driver.ConfigurationError | driver.InvalidURI):
        return ConfigurationError(f"the MongoDB URI is not acceptable: {_uri_advice(str(error))}")
    return StorageRefused(f"the driver refused: {type(error).__name__}")


def _server_error(code: int | None, text: str, details: Any) -> MongoqError:
    if code == DUPLICATE:
        return KeyTaken(next(iter(details.get("keyPattern", {"_id": 1}))))
    if "hint provided does not correspond" in text or "bad hint" in text:
        return IndexMissing("an index of the tasks is missing; `mongoq init` makes it", code=code)
    if code == WRITE_CONFLICT:
        return StorageUnavailable("another write met this transaction: it may be run again", code=code)
    if code in _NO_MAJORITY:
        return StorageUnavailable(_UNCONFIRMED, code=code, ambiguous=True)
    if code in AMBIGUOUS:
        return StorageUnavailable(f"MongoDB could not answer for now (code {code})", code=code, ambiguous=True)
    if code == NO_TRANSACTIONS and "ransaction" in text:
        return Unsupported("a standalone server has no transactions; a replica set of one node is enough", code=code)
    name = details.get("codeName", "")
    label = f"code {code}" + (f", {name}" if name else "")
    return StorageRefused(f"MongoDB refused: {_ADVICE.get(code or 0, 'see its log')} ({label})", code=code)


def _write_error(error: driver.OperationFailure) -> MongoqError:
    details: Any = error.details or {}
    if isinstance(error, driver.DuplicateKeyError):
        return _server_error(DUPLICATE, "", details)
    refused = details.get("writeErrors") or []
    if details.get("writeConcernErrors") or not refused:  # what was not refused may yet be rolled back
        # Without a code: 50 would say that the command was stopped, but this write was made.
        return StorageUnavailable(_UNCONFIRMED, ambiguous=True)
    errors = {row.get("index", 0): _server_error(row.get("code"), row.get("errmsg", ""), row) for row in refused}
    leaving = [error for error in errors.values() if isinstance(error, StorageUnavailable)]
    # A server that leaves speaks for the whole batch.
    return leaving[0] if leaving else PartlyWritten(errors, details.get("nMatched", 0))


def _uri_advice(text: str) -> str:
    """What to do about a URI, without the driver's text: it quotes the URI, or what it took for a part of it."""
    if "percent-encoded" in text or "RFC 3986" in text or "Bad database name" in text or "Port must be" in text:
        return "check its port, and percent-encode special characters in user name and password (%40 for @, %2F for /)"
    return "it should look like mongodb://user:password@host:27017/database?replicaSet=name"


def _text(error: driver.OperationFailure) -> str:
    return str((error.details or {}).get("errmsg", ""))


def _hint(error: driver.ServerSelectionTimeoutError) -> str:
    text = str(error)
    if "Authentication failed" in text:
        return ": the user name or the password is wrong, or authSource names the wrong database"
    if "SSL" in text or "certificate" in text:
        return ": TLS could not be agreed on"
    if named := _SET_NAME.search(text):
        return f": no member of a set named {named[1]!r} is there; is replicaSet= in the URI the name of the set?"
    if "No replica set members" in text or "No primary" in text:
        return ": the replica set has no primary"
    return ""
