"""Hide what is nobody's business in the arguments of tasks: by the names of fields, and by a function of the user's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

HIDDEN: Final = "••••••"
NAMES: Final = (
    "password", "passwd", "pwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "signingkey",
    "authorization", "credential", "cookie", "session", "iban", "creditcard", "cardnumber", "cvv", "cvc", "ssn", "pin",
)  # fmt: skip
"""A field is hidden whose name is one of these, or has a part that is, without regard to case, `_` and `-`."""
WHOLE: Final = frozenset({"pin", "ssn", "cvv", "cvc", "pwd", "session", "cookie"})
"""These only as a whole word: `shipping` is no `pin`."""
Redact = Callable[[str, Any], Any]
"""A function of a field's path and value that returns what is shown in its place."""


class Hiding:
    """Makes values fit to be shown."""

    def __init__(self, names: tuple[str, ...] = NAMES, redact: Redact | None = None) -> None:
        self._names = tuple(_flat(name) for name in names)
        self._redact = redact

    def shown(self, value: Any, path: str = "") -> Any:
        """The value with everything in it that may be seen."""
        if self._redact is not None and path:
            value = self._redact(path, value)
        if isinstance(value, Mapping):
            return {
                str(name): HIDDEN
                if self.hides(str(name))
                else self.shown(inner, f"{path}.{name}" if path else str(name))
                for name, inner in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.shown(inner, f"{path}[{number}]") for number, inner in enumerate(value)]
        return value

    def hides(self, name: str) -> bool:
        """Whether the value of a field of this name is hidden."""
        flat, words = _flat(name), re.split(r"[_\-. ]+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower())
        return any(one in words or (one not in WHOLE and one in flat) for one in self._names)


def _flat(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
