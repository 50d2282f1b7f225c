"""What is public says of which types it is, to programs too: injectors, command lines, docs."""

from __future__ import annotations

import inspect
import typing

import pytest

from .faces import DOORS, functions, things


@pytest.mark.parametrize("door", DOORS)
def test_the_types_of_every_public_function_and_method_can_be_found_out(door: str) -> None:
    seen, wrong = 0, []
    for name, function in functions(door):
        seen += 1
        try:
            typing.get_type_hints(function)
        except NameError as error:
            wrong.append(f"{name}: {error}")
    assert seen
    assert wrong == []


@pytest.mark.parametrize("door", DOORS)
def test_the_types_of_what_every_public_class_holds_can_be_found_out(door: str) -> None:
    wrong = []
    for name, thing in things(door):
        # Not of bases that are others': they name types of their own that they do not import.
        if inspect.isclass(thing) and not any(
            base.__module__.startswith(("pykka", "requests")) for base in thing.__mro__
        ):
            try:
                typing.get_type_hints(thing)
            except NameError as error:
                wrong.append(f"{name}: {error}")
    assert wrong == []
