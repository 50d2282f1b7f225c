"""What is public says of which types it is, to programs too: injectors, command lines, docs."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

DOORS = [
    "brama",
    "brama.actors",
    "brama.actors.testing",
    "brama.circuits",
    "brama.circuits.testing",
    "brama.notifier",
    "brama.telemetry",
    "brama.telemetry.testing",
]

OF_THE_CLASS = ("__call__", "__init__", "__enter__", "__aenter__", "__iter__", "__aiter__")


def public(door: str) -> Iterator[tuple[str, Any]]:
    """The functions behind a door, and the methods of the classes, each under its name."""
    module = import_module(door)
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isfunction(thing):
            yield name, thing
        if inspect.isclass(thing):
            for base in thing.__mro__:
                if not base.__module__.startswith("brama"):
                    continue  # others name types of their own that they do not import
                for method, found in vars(base).items():
                    function = found.fget if isinstance(found, property) else found
                    function = getattr(function, "__func__", function)
                    if inspect.isfunction(function) and (
                        not method.startswith("_") or method in OF_THE_CLASS
                    ):
                        yield f"{name}.{method}", function


@pytest.mark.parametrize("door", DOORS)
def test_the_types_of_every_public_function_and_method_can_be_found_out(door: str) -> None:
    seen, wrong = 0, []
    for name, function in public(door):
        seen += 1
        try:
            typing.get_type_hints(function)
        except NameError as error:
            wrong.append(f"{name}: {error}")
    assert seen
    assert wrong == []


@pytest.mark.parametrize("door", DOORS)
def test_the_types_of_what_every_public_class_holds_can_be_found_out(door: str) -> None:
    module = import_module(door)
    wrong = []
    for name in module.__all__:
        thing = getattr(module, name)
        # Not of bases that are others': pykka names types of its own that it does not import.
        if inspect.isclass(thing) and not any(
            base.__module__.startswith("pykka") for base in thing.__mro__
        ):
            try:
                typing.get_type_hints(thing)
            except NameError as error:
                wrong.append(f"{name}: {error}")
    assert wrong == []
