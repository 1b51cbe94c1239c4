"""How long a child's handler is waited for, and how often it is looked at."""

from __future__ import annotations

from typing import Final

MOMENT: Final = 0.5
"""Seconds between the notice to stop and the kill."""
LOOK: Final = 0.5
LOOK_FOR_SLOW: Final = 0.1
SLOW: Final = 0.05
"""Seconds after which a handler is too slow for another task to wait behind it."""
LOOK_OFTEN: Final = 0.05
"""Seconds between looks at a handler that has to stop: a signal that comes before it has started is lost."""
