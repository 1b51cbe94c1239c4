"""What docs/from/handmade.md presumes: jobs, some of them pending."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pymongo import MongoClient

import mongoq

sys.path.insert(0, str(Path(mongoq.__file__).parents[1] / "examples"))
with MongoClient[dict[str, Any]](os.environ["MONGOQ_URI"]) as before:
    before["shop"].drop_collection("jobs")
    before["shop"]["jobs"].insert_many(
        {"_id": n, "type": "send", "data": {"user": n}, "status": "pending" if n % 2 else "done"} for n in range(10)
    )


def check() -> None:
    queue, client = globals()["queue"], globals()["client"]
    assert sorted(task.key for task in queue.tasks(name="send")) == [f"job-{n}" for n in range(1, 10, 2)]
    assert client["shop"]["jobs"].count_documents({"status": "adopted"}) == 5
    queue.close()
    client["shop"].drop_collection("jobs")
    client.close()
    sys.path.pop(0)
