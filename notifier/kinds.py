"""What kind of callable a handler is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction, signature
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    BuiltinMethodType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
)
from typing import Any

import pykka

__all__ = ["accepts", "handles", "identity", "is_async", "is_plain", "name_of", "refuse_unrun"]

UNRUN = (CoroutineType, GeneratorType, AsyncGeneratorType)


def is_async(handler: Any) -> bool:
    """Whether calling `handler` makes a coroutine, through partials and callable objects."""
    return _is(iscoroutinefunction, handler)


def is_plain(handler: Any) -> bool:
    """Whether `handler` can be called with one event, and gives its result at once."""
    return handles(handler) and not is_async(handler)


def handles(handler: Any) -> bool:
    """Whether `handler` is a function of one event, plain or async, that runs when it is called."""
    return (
        callable(handler)
        and not _is(isgeneratorfunction, handler)
        and not _is(isasyncgenfunction, handler)
        and accepts(handler, None)
    )


def accepts(function: Any, *args: object, **keywords: object) -> bool:
    """Whether `function` takes such arguments, or does not say what it takes."""
    while isinstance(function, partial):
        args, keywords = function.args + args, function.keywords | keywords
        function = function.func
    if not isinstance(function, (type, FunctionType, MethodType, BuiltinFunctionType)):
        # Of an object of a user's the class is asked, so that no `__eq__` of it runs.
        function, args = type(function).__call__, (function, *args)
    try:
        # Of a wrapper its own, for what it wraps may take something else.
        taken = signature(function, follow_wrapped=False)
    except (ValueError, TypeError):
        return True
    try:
        taken.bind(*args, **keywords)
    except TypeError:
        return False
    return True


def refuse_unrun(answer: object) -> None:
    """Fail over what a handler has given and nobody will run.

    A future is something else: what it stands for is under way, or was left to somebody.

    Raises:
        TypeError: a coroutine, a generator, or whatever else has to be awaited.
    """
    if not isinstance(answer, UNRUN):
        if not isinstance(answer, Awaitable) or isinstance(answer, pykka.Future):
            return
        if hasattr(answer, "add_done_callback"):  # of asyncio, and those made after it
            return
    if isinstance(answer, CoroutineType):
        answer.close()  # or Python warns of it, wherever that happens to be
    raise TypeError(
        f"the handler gave a {type(answer).__name__}, which nobody runs: await it in an async "
        "function, and subscribe that"
    )


def _is(kind: Callable[[Any], bool], handler: Any) -> bool:
    handler = _inner(handler)
    # The function itself is asked about.
    return kind(handler) or kind(getattr(type(handler), "__call__", None))  # noqa: B004


def name_of(handler: Any) -> str:
    """What people call `handler`."""
    handler = _inner(handler)
    return str(getattr(handler, "__qualname__", None) or type(handler).__qualname__)


def identity(handler: Any) -> tuple[object, ...]:
    """Equal for two references to one callable that lives.

    Methods are made anew at each look and known by their object. By `id`, so that no ``__eq__`` or
    ``__hash__`` of a user's runs where this is looked up.
    """
    owner = getattr(handler, "__self__", None)
    if isinstance(handler, MethodType):
        return id(owner), id(handler.__func__)
    if isinstance(handler, BuiltinMethodType) and owner is not None:
        return id(owner), handler.__name__
    return (id(handler),)


def _inner(handler: Any) -> Any:
    while isinstance(handler, partial):
        handler = handler.func
    return handler
