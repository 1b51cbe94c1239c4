"""Install a fault in this process: each module is changed right after it ran, before any other imports from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from proving.seeded.fault import CannotSeedError, Fault


def install(fault: Fault) -> None:
    """Change the targets of this fault as their modules are imported, in this process from now on."""
    early = [part.module for part in fault.parts if part.module in sys.modules]
    if early:
        raise CannotSeedError(f"{fault.name}: imported before the fault was installed: {', '.join(early)}")
    sys.meta_path.insert(0, _Finder(fault))


class _Finder(MetaPathFinder):
    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._targets = {part.module for part in fault.parts}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._targets:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next((found for finder in others if (found := finder.find_spec(fullname, path, target))), None)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_seed(module: ModuleType) -> None:
            execute(module)
            for part in self._fault.parts:
                if part.module == fullname:
                    part.put_into(module)

        spec.loader.exec_module = execute_and_seed  # type: ignore[method-assign]
        return spec
