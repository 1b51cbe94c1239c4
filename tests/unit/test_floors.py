"""The plan of the house: which module lies on which floor, and what it may know."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest

import mongoq
from mongoq.core.lifecycle import TaskState
from mongoq.storage.documents import fields

PACKAGE: Final = Path(mongoq.__file__).parent

FLOORS: Final = {
    "mongoq.core": 0,
    "mongoq.events": 1,
    "mongoq.fairness": 0,
    "mongoq.flow": 0,
    "mongoq.flow.verbs": 4,
    "mongoq.functions": 1,
    "mongoq.functions.async_decorator": 4,
    "mongoq.functions.batch_decorator": 4,
    "mongoq.functions.binding": 4,
    "mongoq.functions.decorator": 4,
    "mongoq.functions.function": 4,
    "mongoq.functions.handle": 4,
    "mongoq.functions.tasks": 4,
    "mongoq.history": 0,
    "mongoq.history.verbs": 4,
    "mongoq.diagnosis": 1,
    "mongoq.diagnosis.reading": 4,
    "mongoq.diagnosis.verbs": 4,
    "mongoq.hooks": 1,
    "mongoq.auditing": 0,
    "mongoq.auditing.verbs": 4,
    "mongoq.limiting": 0,
    "mongoq.limiting.verbs": 4,
    "mongoq.paging": 0,
    "mongoq.paging.verbs": 4,
    "mongoq.pausing": 0,
    "mongoq.pausing.verbs": 4,
    "mongoq.scheduling": 1,
    "mongoq.scheduling.decorator": 4,
    "mongoq.scheduling.verbs": 4,
    "mongoq.storage": 1,
    "mongoq.storage.drivers": 2,
    "mongoq.embedded": 2,
    "mongoq.worker": 3,
    "mongoq.api": 4,
    "mongoq.default": 4,
    "mongoq.queue": 4,
    "mongoq.async_queue": 4,
    "mongoq.verbs": 4,
    "mongoq": 4,
    "mongoq.testing": 5,
    "mongoq.dashboard": 5,
    "mongoq.contrib": 5,
    "mongoq.encryption": 5,
    "mongoq.cli": 5,
    "mongoq.__main__": 5,
}
"""The floor of each package or module; the longest prefix counts. Imports point down or sideways."""
NOT_STATES: Final = {
    ("storage/operations/fleet/heartbeat.py", "running"),  # a worker's own count of what it holds
    ("worker/config.py", "running"),  # as above
    ("cli/control/limits.py", "running"),  # how many slots of a limit are in use
    ("worker/stages.py", "running"),  # a stage of an attempt
    ("worker/services/sweeper.py", "expired"),  # what a sweep reports
}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


TREES: Final = {path: ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
MODULES: Final = {name_of(path): tree for path, tree in TREES.items()}


def floor_of(module: str) -> int | None:
    inside = (prefix for prefix in FLOORS if prefix != "mongoq" and f"{module}.".startswith(f"{prefix}."))
    known = ["mongoq"] if module == "mongoq" else [*inside]
    return FLOORS[max(known, key=len)] if known else None


def imports_of(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each imported module, and the name taken from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in MODULES else (str(node.module), alias.name)


def literals_of(tree: ast.Module) -> Iterator[str]:
    """Every string but docstrings, the text pieces of f-strings and lists of Python's own names."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(piece) for piece in node.values}
        elif isinstance(node, ast.Assign) and "__" in ast.unparse(node.targets[0]):
            skipped |= {id(piece) for piece in ast.walk(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def test_every_module_has_a_floor() -> None:
    assert not [module for module in MODULES if floor_of(module) is None], "give each of them a floor here"
    assert not [prefix for prefix in FLOORS if prefix not in MODULES], "the plan names modules that are not there"


def test_imports_point_down_or_sideways() -> None:
    climbing = []
    for module, tree in MODULES.items():
        for imported, name in imports_of(tree):
            floor, other = floor_of(module), floor_of(imported)
            if floor is None or other is None or other <= floor:
                continue
            climbing.append(f"{module} imports {imported} {name}")
    assert not climbing


def test_the_driver_is_imported_only_under_storage() -> None:
    for module, tree in MODULES.items():
        roots = {imported.partition(".")[0] for imported, _ in imports_of(tree)}
        if not module.startswith("mongoq.storage"):
            assert not roots & {"pymongo", "bson", "motor", "gridfs"}, module


def test_the_words_import_only_the_standard_library_and_each_other() -> None:
    for module, tree in MODULES.items():
        if floor_of(module) == 0:
            for imported, _ in imports_of(tree):
                root = imported.partition(".")[0]
                assert root in sys.stdlib_module_names or floor_of(imported) == 0, f"{module} imports {imported}"


def test_operations_do_no_io_and_read_no_clock_but_their_context_s() -> None:
    for module, tree in MODULES.items():
        if floor_of(module) != 1:
            continue
        for imported, name in imports_of(tree):
            assert imported.partition(".")[0] not in {"time", "socket", "subprocess", "logging", "asyncio"}, module
            assert name not in {"MongoClient", "AsyncMongoClient"}, module
        asked = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr in {"now", "utcnow", "today"}
            and isinstance(node.value, ast.Name)
            and node.value.id in {"datetime", "date"}
        ]
        assert not asked, f"{module} asks the host for the time in line {asked[0].lineno}"


def test_state_names_are_written_only_in_the_lifecycle() -> None:
    states = {state.value for state in TaskState}
    written = {
        (room(path), text)
        for path, tree in TREES.items()
        if path.name != "lifecycle.py"
        for text in literals_of(tree)
        if text in states
    }
    assert written - NOT_STATES == set()


# Words of the task's document that are nothing else as well: not a keyword of the API, not a worker's fact.
FIELDS: Final = {
    value for name, value in vars(fields).items() if name.isupper() and isinstance(value, str) and "_" in name
} - {fields.RUN_AT, fields.EXPIRES_AT, fields.STARTED_AT, fields.ON_PARENT_FAILURE}
OUTER_FIELDS: Final = FIELDS | {fields.ATTEMPTS, fields.UNCHARGED, fields.RETRIES, fields.LOST_LEASES}


def test_field_names_are_written_in_one_file() -> None:
    assert {fields.LEASE_UNTIL, fields.LAST_TOKEN, fields.CANCEL_REQUESTED} <= FIELDS
    for path, tree in TREES.items():
        if room(path) != "storage/documents/fields.py":
            assert not OUTER_FIELDS & set(literals_of(tree)), room(path)
        if room(path).startswith("worker/"):
            assert not {fields.RUN_AT, fields.EXPIRES_AT, fields.KEY} & set(literals_of(tree)), room(path)


def test_operators_of_mongodb_are_written_only_under_storage() -> None:
    for path, tree in TREES.items():
        if not room(path).startswith("storage/"):
            found = [text for text in literals_of(tree) if text[:1] == "$" and text[1:2].isalpha()]
            assert not found, room(path)


def test_only_the_command_line_prints() -> None:
    for path, tree in TREES.items():
        if name_of(path).startswith(("mongoq.cli", "mongoq.__main__")):
            continue
        called = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert "print" not in called, room(path)
        assert not {"rich", "typer"} & {name.partition(".")[0] for name, _ in imports_of(tree)}, room(path)


def test_the_command_line_uses_the_public_api() -> None:
    for module, tree in MODULES.items():
        if module.startswith(("mongoq.cli", "mongoq.__main__")):
            for imported, _ in imports_of(tree):
                if imported.startswith("mongoq") and not imported.startswith("mongoq.cli"):
                    public = imported in ("mongoq", "mongoq.embedded.server", "mongoq.dashboard", "mongoq.diagnosis")
                    public = public or imported.startswith(("mongoq.core.", "mongoq.contrib."))
                    assert public, f"{module} imports {imported}"


def test_the_dashboard_uses_the_public_api() -> None:
    for module, tree in MODULES.items():
        if module.startswith("mongoq.dashboard"):
            for imported, _ in imports_of(tree):
                if imported.startswith("mongoq") and not imported.startswith("mongoq.dashboard"):
                    public = imported == "mongoq" or imported.startswith(("mongoq.core.", "mongoq.diagnosis."))
                    assert public, f"{module} imports {imported}"


def members(kind: type[Any]) -> Iterator[tuple[str, object]]:
    for name, member in vars(kind).items():
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property)):
            yield f"{kind.__name__}.{name}", member


@pytest.mark.parametrize("name", mongoq.__all__)
def test_the_public_api_is_documented(name: str) -> None:
    thing = getattr(mongoq, name)
    generated = f"{name}("
    assert thing.__doc__, name
    assert not thing.__doc__.startswith(generated), f"{name} has only what dataclass made up"
    if inspect.isclass(thing) and not issubclass(thing, Enum):
        bare = [full for full, member in members(thing) if not inspect.getdoc(member)]
        assert not bare


def imported_by(code: str) -> set[str]:
    """The modules of mongoq that a fresh interpreter has imported after `code`."""
    code = f"import sys; {code}; print(*[name for name in sys.modules if name.startswith('mongoq')])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_a_producer_is_spared_the_worker() -> None:
    entered = imported_by("import mongoq; mongoq.Queue('mongodb://localhost'); mongoq.NewTask()")
    assert not [module for module in entered if module.startswith(("mongoq.worker", "mongoq.cli", "mongoq.embedded"))]


def test_operations_import_neither_the_driver_nor_bson() -> None:
    bson_allowed = {f"mongoq.storage.documents.{name}" for name in ("codec", "encoding")}
    for module, tree in MODULES.items():
        if module.startswith("mongoq.storage") and not module.startswith("mongoq.storage.drivers"):
            roots = {imported.partition(".")[0] for imported, _ in imports_of(tree)}
            allowed = {"bson"} if module in bson_allowed else set()
            assert not (roots & {"pymongo", "bson", "motor", "mongomock"}) - allowed, module


def test_public_names_that_come_later_are_what_they_are_called() -> None:
    assert mongoq.WorkerHandle.__name__ == "WorkerHandle"
    assert set(mongoq.__all__) <= set(dir(mongoq))
    with pytest.raises(AttributeError, match="no attribute 'Quque'"):
        mongoq.Quque  # type: ignore[attr-defined]  # noqa: B018
