"""From documents to the bytes that are sent, and how many of them may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from mongoq.checks import Checker, shortened
from mongoq.errors import Fault, InvalidTask
from mongoq.storage import documents
from mongoq.storage.codec import CODEC
from mongoq.storage.commands import Document


def encoded(document: Document, most: int) -> RawBSONDocument:
    """The document as it will be sent; InvalidTask where BSON cannot carry it or it is larger than `most`.

    Encoded once: the driver sends these bytes as they are.
    """
    return RawBSONDocument(_encoded("task", document, most))


def encoded_model(model: Document, most: int) -> bytes:
    """What the documents made after a model have in common, for `encoded_after`."""
    return _encoded("task", model, most)[4:]


def encoded_after(model: bytes, key: str, tags: Mapping[str, Any], most: int) -> RawBSONDocument:
    """The `encoded` document of `new_document`, at half of the cost (1.6 µs instead of 3.2).

    What many have in common is encoded once and only appended: the elements of BSON do not depend on each other.
    """
    own = _encoded("task", {documents.KEY: key, documents.TAGS: tags}, most)
    size = len(own) - 1 + len(model)
    if size > most:
        raise _too_large("task", size, most)
    return RawBSONDocument(size.to_bytes(4, "little") + own[4:-1] + model)


def checked_result(result: Any, most: int) -> None:
    """InvalidTask where a handler's result cannot be stored."""
    checker = Checker(InvalidTask)
    checker.value(documents.RESULT, result)
    checker.finish()
    _encoded(documents.RESULT, {documents.RESULT: result}, most)


def checked_size(document: Document, most: int) -> None:
    """InvalidTask where a changed task cannot be stored."""
    _encoded("task", document, most)


def size_of(document: Document) -> int:
    """How many bytes a document takes that can be encoded."""
    return len(bson.encode(document, codec_options=CODEC))


def _encoded(field: str, document: Document, most: int) -> bytes:
    try:
        data = bson.encode(document, codec_options=CODEC)
    except (bson.errors.BSONError, OverflowError, ValueError, TypeError, RecursionError) as error:
        raise InvalidTask([Fault(field, shortened(str(error)), "a value that BSON can carry")]) from error
    if len(data) > most:
        raise _too_large(field, len(data), most)
    return data


def _too_large(field: str, size: int, most: int) -> InvalidTask:
    allowed = f"at most {most:,} bytes once encoded; keep large data elsewhere"
    return InvalidTask([Fault(field, f"{size:,} bytes", allowed)])
