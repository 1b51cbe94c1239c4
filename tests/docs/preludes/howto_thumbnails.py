"""What docs/howto/thumbnails.md presumes: a folder of images, and a library that shrinks them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

folder = Path(tempfile.mkdtemp())
for number in range(20):
    (folder / f"{number}.jpg").write_text("pixels")


@contextmanager
def opened(source: Path) -> Iterator[SimpleNamespace]:
    yield SimpleNamespace(thumbnail=lambda _: None, save=lambda target: target.write_text(source.read_text()))


library: Any = ModuleType("PIL")
library.Image = SimpleNamespace(open=opened)
sys.modules["PIL"] = library


def check() -> None:
    thumbs: Any = sys.modules.pop("thumbs")
    with thumbs.queue as queue:
        queue.run(burst=True)
        assert queue.get(globals()["key"]).result == "holiday: 20 thumbnails, 0 failed"
    assert len(list(folder.glob("*.200.png"))) == 20
    del sys.modules["PIL"]
