"""What docs/secrets.md presumes."""

from __future__ import annotations

import os

from cryptography.fernet import Fernet

os.environ["MAIL_KEY"] = Fernet.generate_key().decode()


class Vault:
    """As much of a key management service as the page uses."""

    current_key = "k1"

    def encrypt(self, key: str, data: bytes) -> bytes:
        return key.encode() + data[::-1]

    def decrypt(self, key: str, data: bytes) -> bytes:
        return data.removeprefix(key.encode())[::-1]


vault = Vault()


def check() -> None:
    page = globals()
    queue, own = page["queue"], page["own"]
    own.new({"n": 1}, payload="secret", key="own")
    assert own.get("own").payload == "secret"
    assert queue.get("own").payload.keys() == {"_sealed", "data"}, "only who has the key can read it"
    [charged] = queue.tasks(name="charge")
    assert charged.tags["card"] == "4111 1111 1111 1111"
