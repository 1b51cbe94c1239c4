"""How BSON is read: aware instants, standard UUIDs, and tolerance.

One string that is no UTF-8, or one date beyond Python's, must not make every claim of its queue fail.
"""

from __future__ import annotations

from typing import Any, Final

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion

CODEC: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=True,
    uuid_representation=UuidRepresentation.STANDARD,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_CLAMP,
)
