"""What keeps secrets at rest: a pair of functions that encrypt and decrypt what tasks hold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.validation import Checker

Encrypt = Callable[[bytes], tuple[str, bytes]]
"""Returns the identifier of the key that it used, and the data encrypted with it."""
Decrypt = Callable[[str, bytes], bytes]
"""Gets the identifier of a key and what was encrypted with it."""
Codec = tuple[Encrypt, Decrypt]

LONGEST_KEY: Final = 128
KEY: Final = "_sealed"
DATA: Final = "data"
"""The fields of an encrypted value: the identifier of its key, and what was encrypted."""


def check_codec(checker: Checker, codec: Any) -> None:
    """Check the `codec` of a queue, by encrypting and decrypting something."""
    if codec is None:
        return
    allowed = "a pair of functions: encrypt(data) -> (key id, data) and decrypt(key id, data) -> data"
    if not (isinstance(codec, tuple) and len(codec) == 2 and all(map(callable, codec))):
        checker.refuse("codec", codec, allowed)
        return
    encrypt, decrypt = codec
    try:
        key, data = encrypt(b"mongoq")
        fits = isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and isinstance(data, bytes)
        fits = fits and decrypt(key, data) == b"mongoq"
    except Exception as error:  # noqa: BLE001 -- a user's own functions may raise anything
        checker.refuse("codec", codec, f"{allowed}; it raised {type(error).__name__}: {error}")
        return
    if not fits:
        checker.refuse("codec", codec, f"{allowed}, which give back what they were given, with a key id of text")


def key_of(value: Any) -> str | None:
    """The identifier of the key of an encrypted value; None where it is not encrypted."""
    if not isinstance(value, Mapping) or len(value) != 2 or DATA not in value:
        return None
    key = value.get(KEY)
    return key if isinstance(key, str) else None


def check_filter(tags: Iterable[str], secret: Collection[str]) -> None:
    """ConfigurationError where tasks are chosen by a tag that is secret: nothing would be found."""
    for name in tags:
        if name in secret:
            raise ConfigurationError([Fault("where", name, "a tag to filter by: it is secret, and encrypted")])
