"""What a verb tells of itself, read from either queue: `help`, editors and frameworks ask."""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Iterator
from typing import Any

import pytest

import mongoq
from mongoq import AsyncBuffer, AsyncQueue, Buffer, Queue
from mongoq.api import producing
from mongoq.api.verb import future, scope, stream, verb
from mongoq.verbs import Verbs

OWN = ("close", "buffer", "transaction", "start")
"""What each queue declares for itself."""
ALL = {**vars(Verbs), **vars(Queue)}
SHARED = [name for name, value in ALL.items() if isinstance(value, (verb, scope, stream, future)) and name not in OWN]
SCOPES = ["batch", "buffer", "keepalive", "transaction"]
STREAMS = ["claims", "scan"]
FUTURES = ["submit"]
RAISE_NOTHING = {
    "close", "health", "limit_stats", "limits", "namespaces", "pauses", "schedules", "standalone", "stop", "time",
    "workers",
}  # fmt: skip
"""Methods that refuse nothing: they take no arguments, or none that could be wrong."""


@pytest.fixture
def queue() -> Iterator[Queue]:
    with Queue("mongodb://nowhere") as queue:
        yield queue


def test_both_queues_have_the_same_verbs() -> None:
    assert len(SHARED) > 40
    assert {name for name in vars(AsyncQueue) if not name.startswith("_")} == {
        name for name in vars(Queue) if not name.startswith("_")
    }


@pytest.mark.parametrize("name", SHARED)
def test_a_verb_has_the_same_signature_and_words_in_both_tempos(name: str) -> None:
    blocking, awaited = getattr(Queue, name), getattr(AsyncQueue, name)
    assert inspect.signature(blocking) == inspect.signature(awaited)
    assert blocking.__doc__ == awaited.__doc__ != ""
    assert blocking.__name__ == awaited.__name__ == name


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_a_verb_is_a_coroutine_function_where_it_is_awaited_and_there_alone(name: str) -> None:
    assert not inspect.iscoroutinefunction(getattr(Queue, name))
    assert inspect.iscoroutinefunction(getattr(AsyncQueue, name)) is (name not in [*SCOPES, *STREAMS, *FUTURES])
    assert not inspect.isgeneratorfunction(getattr(Queue, name))


def test_the_signature_of_a_bound_verb_has_no_self_and_tells_the_result() -> None:
    unbound, bound = inspect.signature(Queue.new), inspect.signature(AsyncQueue("mongodb://nowhere").new)
    assert list(unbound.parameters)[:3] == ["self", "tags", "key"]
    assert list(bound.parameters)[:2] == ["tags", "key"]
    assert bound.parameters["priority"].kind is inspect.Parameter.KEYWORD_ONLY
    assert bound.return_annotation == unbound.return_annotation == "Task"
    assert inspect.signature(Queue.claim).return_annotation == "Task | None"


def test_help_shows_signature_result_and_words(queue: Queue) -> None:
    for thing in (Queue.new, queue.new, AsyncQueue.new):
        told = " ".join(pydoc.plain(pydoc.render_doc(thing)).split())  # Python 3.13 breaks the lines of a signature
        assert "tags: 'Mapping[str, Any] | NewTask | None' = None, *, key:" in told
        assert "-> 'Task'" in told
        assert "Enqueue a task and return it." in told
    assert "self" in pydoc.plain(pydoc.render_doc(Queue.new))


@pytest.mark.parametrize("queue_class", [Queue, AsyncQueue])
def test_every_method_says_which_errors_it_raises_of_its_own(queue_class: type[Any]) -> None:
    """Those of any command, such as StorageUnavailable, are told once, in docs/reference/queue.md."""
    methods = [name for name, _ in inspect.getmembers(queue_class, callable) if not name.startswith("_")]
    silent = {name for name in methods if "\nRaises:\n" not in (inspect.getdoc(getattr(queue_class, name)) or "")}
    assert silent == RAISE_NOTHING


@pytest.mark.parametrize("name", [name for name in dir(Queue) if callable(getattr(Queue, name)) and name[0] != "_"])
def test_the_errors_that_a_method_names_exist(name: str) -> None:
    _, _, told = (inspect.getdoc(getattr(Queue, name)) or "").partition("\nRaises:\n")
    named = re.findall(r"^    ([A-Z][\w, ]*): ", told, re.MULTILINE)
    kinds = [getattr(mongoq, one.strip()) for names in named for one in names.split(",")]
    assert bool(kinds) is bool(told)
    assert [kind for kind in kinds if not issubclass(kind, Exception)] == []


def test_a_misspelt_option_is_told_with_the_one_that_was_meant(queue: Queue) -> None:
    misspelt: Any = {"priorty": 5}
    with pytest.raises(TypeError, match=r"Queue\.new\(\) has no option 'priorty'; did you mean 'priority'\?"):
        queue.new({"user": 42}, **misspelt)


def test_a_family_of_verbs_gives_the_declaration_itself() -> None:
    assert isinstance(producing.blocking.new, verb)
    assert vars(Queue)["new"] is vars(AsyncQueue)["new"], "one declaration"


@pytest.mark.parametrize("kind", [verb, scope, stream])
def test_a_verb_can_be_called_on_a_queue_of_a_derived_class(kind: type[verb[Any, Any]]) -> None:
    class Derived(Queue):
        pass

    class AsyncDerived(AsyncQueue):
        pass

    name = next(name for name, value in ALL.items() if type(value) is kind)
    assert getattr(Derived, name) is getattr(Queue, name)
    assert getattr(AsyncDerived, name) is getattr(AsyncQueue, name)


def test_new_of_a_buffer_is_described_as_well() -> None:
    assert inspect.iscoroutinefunction(AsyncBuffer.new)
    assert not inspect.iscoroutinefunction(Buffer.new)
    assert "Enqueue a task" in (Buffer.new.__doc__ or "")
