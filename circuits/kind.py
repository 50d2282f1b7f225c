"""What calling a function makes, as far as it can be told beforehand."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

__all__ = ["Kind", "kind_of"]


class Kind(Enum):
    """The kinds of functions; `kind_of` tells them apart."""

    PLAIN = auto()
    """Returns a result, or something that lasts: only what it returns can tell."""
    HANDING_ON = auto()
    """Plain, and wraps a coroutine function (`functools.wraps`): it most likely returns its
    coroutine, and may run it itself."""
    COROUTINE = auto()
    GENERATOR = auto()
    ASYNC_GENERATOR = auto()


TESTS: tuple[tuple[Kind, Callable[[Any], bool]], ...] = (
    (Kind.COROUTINE, inspect.iscoroutinefunction),
    (Kind.ASYNC_GENERATOR, inspect.isasyncgenfunction),
    (Kind.GENERATOR, inspect.isgeneratorfunction),
)


def kind_of(function: Any) -> Kind:
    """The kind of `function`, seen through partials, bound methods and callable objects."""
    for kind, test in TESTS:
        if _is(function, test):
            return kind
    if _is(_innermost(function), inspect.iscoroutinefunction):
        return Kind.HANDING_ON
    return Kind.PLAIN


def _is(function: Any, test: Callable[[Any], bool]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    if test(function):
        return True
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the function is asked about
    return call is not None and not inspect.isroutine(function) and test(call)


def _innermost(function: Any) -> Any:
    """What stands behind partials and ``functools.wraps``."""
    while True:
        inner = inspect.unwrap(function)
        while isinstance(inner, functools.partial):
            inner = inner.func
        if inner is function:
            return inner
        function = inner
