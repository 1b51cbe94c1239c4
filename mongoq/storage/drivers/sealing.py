"""Encrypt what tasks hold before it is sent, and decrypt it when it has come: in the commands and their replies.

Sealed are the payload, the result, the note, the messages and tracebacks of errors, the messages and lines of progress,
and the tags that a function marks as secret. A sealed value is a document of the key's identifier and the encrypted
BSON of the value: `{"_sealed": "2026-11", "data": ...}`. All else stays as it is, so that claims, indexes and filters
work as ever; a filter on a secret tag would find nothing, and is refused.

A value whose key is not known, or that cannot be decrypted, stays sealed: it stops no other task. A task with such a
payload or tag has the field `sealed`, which is read away with the seals: a claim puts off a task that still has it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import bson

from mongoq.core.serial.sealing import DATA, KEY, Codec, check_filter, key_of
from mongoq.storage.commands import (
    Aggregate,
    Bulk,
    Changing,
    Command,
    Count,
    Delete,
    Document,
    Find,
    FindAndUpdate,
    InsertMany,
    InsertOne,
    UpdateMany,
)
from mongoq.storage.documents import fields
from mongoq.storage.documents.batching.batches import BECOMES
from mongoq.storage.documents.codec import CODEC
from mongoq.storage.documents.decoding import FOLLOW_UP
from mongoq.storage.documents.encoding import encoded
from mongoq.storage.documents.foreign.well_formed import unreadable_key
from mongoq.storage.documents.progress import LOG, MESSAGE

log = logging.getLogger("mongoq.storage")

MOST: Final = 16 * 2**20 - 2**14
"""The largest document that the server takes, and room to grow: what is encrypted is longer than before."""
_WHOLE: Final = (fields.PAYLOAD, fields.RESULT, fields.NOTE)
_OF_PROGRESS: Final = (f"{fields.PROGRESS}.{MESSAGE}", f"{fields.PROGRESS}.{LOG}")
_TEXTS_OF_ERRORS: Final = ("message", "traceback")
_HOLDERS: Final = (
    "task", fields.AGAIN, "with", fields.POLICY, FOLLOW_UP,
    fields.CALLBACK, *BECOMES,
)  # fmt: skip
"""What has payload or tags in it: the task of a schedule, a request to run once more, what follows an end."""
_OPENED: Final = frozenset({
    *_WHOLE, *_HOLDERS, fields.TAGS, fields.PROGRESS, fields.LAST_ERROR, fields.ERRORS, fields.POLICY, fields.CALLBACK,
})  # fmt: skip
_FILTERED: Final = (Find, Count, Aggregate, UpdateMany, FindAndUpdate, Delete)


class Sealer:
    """Seals what a queue object writes, and opens what it reads."""

    def __init__(self, codec: Codec, collections: Collection[str]) -> None:
        self._encrypt, self._decrypt = codec
        self._collections = frozenset(collections)
        self._unknown: set[str] = set()
        self.secret: Callable[[], Collection[str]] = tuple
        """The names of the tags that are secret."""

    def sealed(self, command: Command) -> Command:
        """The command with its values encrypted; ConfigurationError where it filters by a secret tag."""
        if getattr(command, "collection", None) not in self._collections:
            return command
        if isinstance(command, _FILTERED):
            self._check(command)
        match command:
            case InsertOne():
                return replace(command, body=self._body(command.body))
            case InsertMany():
                return replace(command, bodies=[self._body(body) for body in command.bodies])
            case UpdateMany() | FindAndUpdate():
                return replace(command, update=self._update(command.update))
            case Bulk():
                return replace(command, writes=[self._write(write) for write in command.writes])
        return command

    def opened(self, command: Command, reply: Any) -> Any:
        """The reply with what is sealed in its documents decrypted."""
        if isinstance(command, Find | FindAndUpdate | Aggregate) and command.collection in self._collections:
            for document in reply if isinstance(reply, list) else [reply]:
                if type(document) is dict:
                    self._open_fields(document)
        return reply

    # Sealing

    def _body(self, body: Any) -> Any:
        return encoded(self._flagged(dict(bson.decode(body.raw, CODEC))), MOST)

    def _write(self, write: Any) -> Any:
        return replace(write, update=self._update(write.update)) if isinstance(write, Changing) else write

    def _update(self, update: Any) -> Any:
        if not isinstance(update, dict):
            return update  # a pipeline: it writes no value of a user
        changed = dict(update)
        for operator in ("$set", "$setOnInsert"):
            if operator in changed:
                changed[operator] = self._flagged(changed[operator])
        pushed = changed.get("$push", {}).get(fields.ERRORS)
        if pushed is not None:
            each = {**pushed, "$each": [self._error(error) for error in pushed["$each"]]}
            changed["$push"] = {**changed["$push"], fields.ERRORS: each}
        return changed

    def _flagged(self, document: Mapping[str, Any]) -> Document:
        """Fields of a task as they are stored, with the mark of one that only who has the key can run."""
        sealed = self._document(document)
        return {**sealed, fields.SEALED: True} if unreadable_key(sealed) is not None else sealed

    def _document(self, document: Mapping[str, Any]) -> Document:
        """Fields as they are stored."""
        sealed = dict(document)
        for name, value in document.items():
            if name in _WHOLE or name in _OF_PROGRESS:
                sealed[name] = self._seal(value)
            elif name == fields.TAGS and isinstance(value, Mapping):
                secret = self.secret()
                sealed[name] = {tag: self._seal(one) if tag in secret else one for tag, one in value.items()}
            elif name == fields.LAST_ERROR:
                sealed[name] = self._error(value)
            elif name == fields.PROGRESS and isinstance(value, Mapping):
                sealed[name] = {one: self._seal(told) if one in (MESSAGE, LOG) else told for one, told in value.items()}
            elif name in _HOLDERS and isinstance(value, Mapping):
                sealed[name] = self._document(value)
        return sealed

    def _error(self, error: Any) -> Any:
        if not isinstance(error, Mapping):
            return error
        return {name: self._seal(told) if name in _TEXTS_OF_ERRORS and told else told for name, told in error.items()}

    def _seal(self, value: Any) -> Any:
        if value is None or key_of(value) is not None:
            return value
        key, data = self._encrypt(bson.encode({DATA: value}, codec_options=CODEC))
        return {KEY: key, DATA: data}

    # Opening

    def _open_fields(self, document: Document) -> None:
        for name in _OPENED & document.keys():
            document[name] = self._open(document[name])
        if fields.SEALED in document and unreadable_key(document) is None:
            del document[fields.SEALED]

    def _open(self, value: Any) -> Any:
        if type(value) is dict:
            key = key_of(value)
            if key is not None:
                return self._decrypted(key, value)
            for name, inner in value.items():
                if type(inner) in (dict, list):
                    value[name] = self._open(inner)
        elif type(value) is list:
            value[:] = map(self._open, value)
        return value

    def _decrypted(self, key: str, sealed: Document) -> Any:
        try:
            return bson.decode(self._decrypt(key, bytes(sealed[DATA])), CODEC)[DATA]
        except Exception as error:  # noqa: BLE001 -- a user's own function may raise anything
            if key not in self._unknown:
                self._unknown.add(key)
                log.warning("what was encrypted with the key %r cannot be read here: %s", key, type(error).__name__)
            return sealed

    # Filters

    def _check(self, command: Any) -> None:
        secret = self.secret()
        if secret:
            check_filter(_tags_of(command.pipeline if isinstance(command, Aggregate) else command.where), secret)


def _tags_of(where: Any) -> set[str]:
    """The tags that a filter names."""
    found: set[str] = set()
    if isinstance(where, Mapping):
        for name, inner in where.items():
            if isinstance(name, str) and name.startswith(f"{fields.TAGS}."):
                found.add(name.split(".")[1])
            found |= _tags_of(inner)
    elif isinstance(where, Sequence) and not isinstance(where, str | bytes):
        for inner in where:
            found |= _tags_of(inner)
    return found
