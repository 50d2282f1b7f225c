"""What is public says what it is for: in ``help()``, in the editor, in the reference."""

from __future__ import annotations

import inspect

import pytest

from .faces import DOORS, OF_THE_CLASS, methods, things


def described(thing: type, method: str) -> bool:
    """Whether it has a docstring, of its own or of what it replaces."""
    return bool(inspect.getdoc(getattr(thing, method)))


@pytest.mark.parametrize("door", DOORS)
def test_every_public_method_of_a_public_class_has_a_docstring(door: str) -> None:
    assert [
        f"{name}.{method}"
        for name, thing in things(door)
        if inspect.isclass(thing)
        for method, _ in methods(thing)
        if method not in OF_THE_CLASS and not described(thing, method)
    ] == []


@pytest.mark.parametrize("door", DOORS)
def test_every_public_function_and_class_has_a_docstring(door: str) -> None:
    found = list(things(door))

    assert [name for name, thing in found if not thing.__doc__] == []
    assert found
