"""Fernet keys in rotation as the codec of a queue: `pip install 'mongoq[encryption]'`.

    queue = Queue(uri, codec=fernet_codec({"2026-11": new_key, "2026-05": old_key}))

The first key encrypts, all of them decrypt. To rotate, put a new key first, and leave the old one out when no task is
kept any more that was written with it: `keep_failed` after the rotation, by default 30 days.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from mongoq.core.errors import ConfigurationError, Fault
from mongoq.core.host.extras import needs
from mongoq.core.serial.sealing import Codec

__all__ = ["fernet_codec"]


def fernet_codec(keys: Mapping[str, bytes | str]) -> Codec:
    """Make a codec of Fernet keys (`cryptography.fernet.Fernet.generate_key()`) by their identifiers.

    The identifier of the key is stored with what it encrypts, the key never. Fernet is AES of 128 bits with an HMAC:
    what was changed in the database is refused, and a task's values are 73 bytes longer, rounded up to 16.

    Raises:
        ConfigurationError: there is no key, or one is no Fernet key; keys are not told.
        ModuleNotFoundError: `cryptography` is not installed.
    """
    with needs("mongoq[encryption]"):
        from cryptography.fernet import Fernet  # noqa: PLC0415 -- an extra

    if not isinstance(keys, Mapping) or not keys:
        raise ConfigurationError([Fault("keys", type(keys).__name__, "a mapping of identifiers to Fernet keys")])
    fernets = {}
    for name, key in keys.items():
        try:
            fernets[name] = Fernet(key)
        except (TypeError, ValueError):
            allowed = "a Fernet key: 32 bytes in URL-safe base64, as Fernet.generate_key() makes them"
            raise ConfigurationError([Fault(f"keys[{name!r}]", "what was given", allowed)]) from None
    current = next(iter(keys))

    def encrypt(data: bytes) -> tuple[str, bytes]:
        return current, base64.urlsafe_b64decode(fernets[current].encrypt(data))

    def decrypt(key: str, data: bytes) -> bytes:
        return fernets[key].decrypt(base64.urlsafe_b64encode(data))

    return encrypt, decrypt
