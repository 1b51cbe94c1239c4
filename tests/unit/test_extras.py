"""A feature whose package is missing says what to install; each extra of pyproject.toml is gone through."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import typer

from mongoq import ConfigurationError
from mongoq.cli.app import app
from mongoq.cli.serving.ports import _metrics
from mongoq.core.host.extras import needs
from mongoq.testing import memory_queue
from shipping.features import FEATURES, FRAMEWORKS, TOOLS

ROOT = Path(__file__).parents[2]
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
IMPORTED = {"prometheus-client": "prometheus_client", "opentelemetry-api": "opentelemetry", "sentry-sdk": "sentry_sdk"}
"""What packages are imported as, where that is not their name."""
SAID = {**{extra: f"mongoq[{extra}]" for extra in FEATURES}, **{name: f"pip install '{name}>=" for name in FRAMEWORKS}}
del SAID["motor"]  # the application imports it, and passes its client

Missing = Callable[[str], None]


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> Missing:
    """`missing(extra)`: the packages of an extra, or one package, are as if they were not installed."""

    def hide(extra: str) -> None:
        packages = [re.split(r"[<>=;\[]", wanted)[0] for wanted in EXTRAS.get(extra, [extra])]
        hidden = {IMPORTED.get(package, package) for package in packages} - {"pytest"}
        for module in [name for name in sys.modules if _is_of(name, hidden)]:
            monkeypatch.delitem(sys.modules, module)
        for package in hidden:
            monkeypatch.setitem(sys.modules, package, None)
        if extra == "embedded":
            monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
            monkeypatch.setenv("MONGOQ_MONGOD", "")
            monkeypatch.setenv("PATH", "")

    return hide


def _is_of(module: str, hidden: set[str]) -> bool:
    """Whether a module is one of these packages, or one of mongoq's that imports them at its top."""
    return module.partition(".")[0] in hidden or module.startswith(("mongoq.contrib.", "mongoq.dashboard"))


def test_each_extra_has_a_feature_that_is_tried() -> None:
    assert EXTRAS.keys() == {*FEATURES, *TOOLS}


@pytest.mark.parametrize("name", SAID)
def test_a_feature_says_what_to_install_where_its_package_is_missing(name: str, missing: Missing) -> None:
    missing(name)
    with pytest.raises((ModuleNotFoundError, ConfigurationError), match=re.escape(SAID[name])):
        exec(FEATURES[name] if name in FEATURES else f"import {FRAMEWORKS[name]}", {})  # noqa: S102 -- the table's


def test_a_command_says_which_extra_it_needs(missing: Missing) -> None:
    missing("dashboard")
    with pytest.raises(ConfigurationError, match=r"mongoq\[dashboard\]"):
        typer.main.get_command(app)(["dashboard"], standalone_mode=False)


def test_an_option_says_which_extra_it_needs(missing: Missing) -> None:
    missing("prometheus")
    refused = pytest.raises(typer.BadParameter, match=r"--metrics-port: .*mongoq\[prometheus\]")
    with memory_queue() as queue, ExitStack() as stack, refused:
        _metrics(queue, stack)


def test_a_mistake_of_mongoq_s_own_is_no_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'mongoq\.nowhere'"), needs("mongoq[testing]"):
        importlib.import_module("mongoq.nowhere")


def test_an_old_backport_of_django_s_tasks_is_refused(missing: Missing, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("django.tasks") is not None:
        pytest.skip("this Django has its own tasks")
    missing("nothing")
    version: Any = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.9.0" if name == "django-tasks" else version(name))
    with pytest.raises(ImportError, match=r"django-tasks 0\.9\.0 is too old: pip install 'django-tasks>=0\.12'"):
        importlib.import_module("mongoq.contrib.django")
