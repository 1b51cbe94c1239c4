"""The signature of a task function: a call becomes tags, tags become a call, a result becomes what is stored.

All that can be wrong with a call is found in the caller, when it is enqueued, and named with the function and the
argument. An argument that is not given is not stored: the function's default applies when it runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from mongoq.core.errors import ConfigurationError, Fault, InvalidTask
from mongoq.core.judging.done import Done
from mongoq.core.tasks.task import Attempt, Task
from mongoq.core.validation import TAG_NAME, did_you_mean, shortened
from mongoq.functions.conversions.compiling import Compiler, shown
from mongoq.functions.conversions.conversion import Conversion, NoConversion, Unfit
from mongoq.functions.conversions.records import hints_of
from mongoq.functions.results import element_of, entry_in, is_change, result_in

_KINDS: Final = inspect.Parameter
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a caller gives."""

    name: str
    conversion: Conversion
    required: bool
    positional: bool
    by_name: bool


class Signature:
    """The parameters and the result of one function."""

    def __init__(self, function: Callable[..., Any], named: str, *, lists: bool = False) -> None:
        self.name = named
        self.lists = lists
        """Whether it is a batch function: each parameter is a list, with an element for each call, as is the result."""
        self._function = function
        self._compiler = Compiler()
        self._hints = self._evaluated()
        parameters = list(inspect.signature(function).parameters.values())
        self.injected = self._injected(parameters)
        """What the worker passes first: `Attempt`, `Task` or None."""
        given = parameters[1:] if self.injected else parameters
        self.parameters = tuple(self._parameter(one) for one in given)
        self._by_name = {one.name: one for one in self.parameters}
        self._positional = tuple(one for one in self.parameters if one.positional)
        self._required = frozenset(one.name for one in self.parameters if one.required)
        self._returned = self._result_conversion()

    def tags(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The tags of a call; InvalidTask lists all that is wrong with it."""
        if len(args) > len(self._positional):
            raise InvalidTask([self._too_many(args)])
        found: dict[str, Any] = {}
        faults: list[Fault] = []
        for one, value in zip(self._positional, args, strict=False):
            self._encode(one, value, found, faults)
        for name, value in kwargs.items():
            known = self._by_name.get(name)
            if known is None or name in found or not known.by_name:
                faults.append(self._odd(name, value, again=name in found))
            else:
                self._encode(known, value, found, faults)
        if not self._required <= found.keys():
            wrong = {fault.field for fault in faults}
            missing = [one for one in self.parameters if one.required and one.name not in found]
            faults += [self._lacking(one) for one in missing if self._at(one.name) not in wrong]
        if faults:
            raise InvalidTask(faults)
        return found

    def partial_tags(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The tags of some arguments, to look for calls with them."""
        found: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, value in kwargs.items():
            known = self._by_name.get(name)
            if known is None:
                faults.append(self._odd(name, value, again=False))
            else:
                self._encode(known, value, found, faults)
        if faults:
            raise InvalidTask(faults)
        return found

    def arguments(self, tags: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of the call that these tags stand for; InvalidTask where they fit no call."""
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for one in self.parameters:
            value = tags.get(one.name, _MISSING)
            if value is _MISSING:
                if one.required:
                    raise InvalidTask([self._lacking(one)])
                if not one.by_name:
                    break  # what follows it can only be given together with it
                continue
            if type(value) is not one.conversion.exact:
                try:
                    value = one.conversion.decode(value)
                except Unfit as unfit:
                    raise InvalidTask([self._fault(one.name, unfit)]) from unfit.__cause__
            if one.by_name:
                named[one.name] = value
            else:
                positional.append(value)
        return positional, named

    def stored_result(self, value: Any) -> Any:
        """What is stored as the result; a change that the handler asks for is passed on."""
        returned = self._returned
        if type(value) is Done:
            return replace(value, result=self.stored_result(value.result))
        if value is None or type(value) is returned.exact or is_change(value):
            return value
        try:
            return returned.encode(value)
        except Unfit as unfit:
            field = f"the result of {self.name}{unfit.path}"
            raise InvalidTask([Fault(field, shortened(unfit.value), unfit.allowed)]) from unfit.__cause__

    def result(self, stored: Any) -> Any:
        """The result as the function returned it."""
        if type(stored) is self._returned.exact or is_change(stored):
            return stored
        try:
            return self._returned.decode(stored)
        except Unfit as unfit:
            field = f"the stored result of {self.name}{unfit.path}"
            raise InvalidTask([Fault(field, shortened(unfit.value), unfit.allowed)]) from unfit.__cause__

    @cached_property
    def told(self) -> str:
        """The function and its parameters, in words."""
        return f"{self.name}({', '.join(one.name for one in self.parameters)})"

    def _encode(self, one: Parameter, value: Any, found: dict[str, Any], faults: list[Fault]) -> None:
        if type(value) is one.conversion.exact:
            found[one.name] = value
            return
        try:
            found[one.name] = one.conversion.encode(value)
        except Unfit as unfit:
            faults.append(self._fault(one.name, unfit))

    # Faults

    def _at(self, name: str) -> str:
        return f"{self.name}({name})"

    def _fault(self, name: str, unfit: Unfit) -> Fault:
        return Fault(self._at(f"{name}{unfit.path}"), shortened(unfit.value), unfit.allowed)

    def _lacking(self, one: Parameter) -> Fault:
        return Fault(self._at(one.name), "nothing", f"{one.conversion.told}; the argument has no default")

    def _too_many(self, args: tuple[Any, ...]) -> Fault:
        most = len(self._positional)
        return Fault(self._at("*"), f"{len(args)} positional arguments", f"at most the {most} of {self.told}")

    def _odd(self, name: str, value: Any, *, again: bool) -> Fault:
        if again:
            allowed = "given once: the call has it as a positional argument as well"
        elif name in self._by_name:
            allowed = "given by name: it is positional only"
        elif self.injected and name == next(iter(inspect.signature(self._function).parameters)):
            allowed = f"given by the caller: the worker passes it, as it is annotated {self.injected.__name__}"
        else:
            allowed = f"an argument of {self.told}{did_you_mean(name, list(self._by_name))}"
        return Fault(self._at(name), shortened(value), allowed)

    # Compiling

    def _evaluated(self) -> dict[str, Any]:
        try:
            return hints_of(self._function)
        except NoConversion as why:
            raise ConfigurationError(
                [Fault(f"{self.name}()", repr(self._function), f"a task function: {why}")]
            ) from why

    def _injected(self, parameters: list[inspect.Parameter]) -> Any:
        first = parameters[0] if parameters else None
        if first is None or first.kind not in (_KINDS.POSITIONAL_ONLY, _KINDS.POSITIONAL_OR_KEYWORD):
            return None
        annotation = self._hints.get(first.name)
        if self.lists:
            annotation = element_of(annotation)
        return annotation if annotation in (Attempt, Task) else None

    def _parameter(self, one: inspect.Parameter) -> Parameter:
        if one.kind in (_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD):
            star = "*" if one.kind is _KINDS.VAR_POSITIONAL else "**"
            self._refuse(
                one.name, f"{star}{one.name}", "a parameter with a name: each argument is stored under its own"
            )
        if not TAG_NAME.fullmatch(one.name):
            self._refuse(one.name, repr(one.name), f"a name that matches {TAG_NAME.pattern}, as each becomes a tag")
        annotation = self._hints.get(one.name, Any)
        if self.lists:
            annotation = self._element(one, annotation)
        if annotation in (Attempt, Task):
            self._refuse(
                one.name, shown(annotation), "the annotation of a later parameter: the worker passes the first"
            )
        return Parameter(
            one.name,
            self._compiled(one.name, annotation),
            one.default is _KINDS.empty,
            one.kind is not _KINDS.KEYWORD_ONLY,
            one.kind is not _KINDS.POSITIONAL_ONLY,
        )

    def _element(self, one: inspect.Parameter, annotation: Any) -> Any:
        """What one call gives of the list that a parameter is."""
        element = element_of(annotation)
        if element is None or one.default is not _KINDS.empty or one.kind is _KINDS.KEYWORD_ONLY:
            allowed = "a positional parameter such as users: list[int], without a default: a batch function takes lists"
            self._refuse(one.name, str(one), allowed)
        return element

    def _result_conversion(self) -> Conversion:
        annotation = self._hints.get("return", Any)
        return self._compiled("return", result_in(entry_in(annotation) if self.lists else annotation))

    def _compiled(self, name: str, annotation: Any) -> Conversion:
        try:
            return self._compiler.compiled(annotation)
        except NoConversion as why:
            self._refuse(name, shown(annotation), f"an annotation whose values can be stored: {why}")
            raise

    def _refuse(self, name: str, value: str, allowed: str) -> None:
        field = f"the result of {self.name}()" if name == "return" else self._at(name)
        raise ConfigurationError([Fault(field, value, allowed)]) from None
