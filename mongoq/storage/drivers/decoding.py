"""Decode any document, also one with BSON that the server stores and the driver cannot decode.

The server checks the lengths of the elements and not what is in them: a UUID of one byte is stored, and the driver
raises InvalidBSON for the whole reply that holds it. Such a document is decoded again element by element. What cannot
be decoded is shown as its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument

from mongoq.storage.commands import Document
from mongoq.storage.documents import fields
from mongoq.storage.documents.foreign.unreadable import Unreadable

_FIXED: Final = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16}
_FIXED[0x7F] = _FIXED[0xFF] = 0
"""The sizes of the elements that have one, by their type."""
_STRINGS: Final = (0x02, 0x0D, 0x0E)
_BINARY, _REGEX, _POINTER = 0x05, 0x0B, 0x0C
_DOCUMENT, _LIST, _CODE = 0x03, 0x04, 0x0F
_UNDECODABLE: Final = (BSONError, ValueError, TypeError, OverflowError)


def decoded(stored: RawBSONDocument, codec: CodecOptions[Any]) -> Document:
    """Decode a document; an `Unreadable` where the driver cannot."""
    return decoded_bytes(bytes(stored.raw), codec)


def decoded_bytes(raw: bytes, codec: CodecOptions[Any]) -> Document:
    """Decode a document that was read as its bytes."""
    try:
        document: Document = bson.decode(raw, codec)
    except _UNDECODABLE:
        return _mended(raw, codec)
    return document


def _mended(raw: bytes, codec: CodecOptions[Any]) -> Unreadable:
    document = Unreadable()
    first = None
    for name, kind, value in _elements(raw):
        document[name], readable = _value(kind, value, codec)
        if name == fields.KEY:
            document.key = _document(b"%c$eq\0%b" % (kind, value))
        if not readable and first is None:
            first = name
    document.field = first or fields.KEY
    return document


def _value(kind: int, raw: bytes, codec: CodecOptions[Any]) -> tuple[Any, bool]:
    """The value of an element, and whether it could be decoded."""
    try:
        return bson.decode(_document(b"%c\0%b" % (kind, raw)).raw, codec)[""], True
    except _UNDECODABLE:
        pass
    if kind not in (_DOCUMENT, _LIST):
        return bytes(raw), False
    inner = {name: _value(one, value, codec)[0] for name, one, value in _elements(raw)}
    return (list(inner.values()) if kind == _LIST else inner), False


def _document(elements: bytes) -> RawBSONDocument:
    return RawBSONDocument((len(elements) + 5).to_bytes(4, "little") + elements + b"\0")


def _elements(raw: bytes) -> Iterator[tuple[str, int, bytes]]:
    """The elements of a document: name, type and the bytes of the value; it ends early where the lengths are wrong."""
    at, end = 4, len(raw) - 1
    while at < end:
        kind, name_end = raw[at], raw.find(b"\0", at + 1)
        start = name_end + 1
        size = _size(kind, raw, start)
        if name_end < 0 or size is None or start + size > end:
            return
        yield raw[at + 1 : name_end].decode(errors="replace"), kind, raw[start : start + size]
        at = start + size


def _size(kind: int, raw: bytes, at: int) -> int | None:
    """The size of the value that starts at `at`; None for a type that BSON does not have."""
    length = int.from_bytes(raw[at : at + 4], "little")
    if kind in _STRINGS:
        return 4 + length
    if kind in (_DOCUMENT, _LIST, _CODE):
        return length
    if kind == _BINARY:
        return 5 + length
    if kind == _POINTER:
        return 16 + length
    if kind == _REGEX:
        options = raw.find(b"\0", at) + 1
        return raw.find(b"\0", options) + 1 - at
    return _FIXED.get(kind)
