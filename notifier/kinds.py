"""What kind of callable a handler is."""

from __future__ import annotations

from functools import partial
from inspect import iscoroutinefunction
from types import BuiltinMethodType, MethodType
from typing import Any

__all__ = ["identity", "is_async", "is_plain", "name_of"]


def is_async(handler: Any) -> bool:
    """Whether calling `handler` makes a coroutine, through partials and callable objects."""
    handler = _inner(handler)
    return iscoroutinefunction(handler) or iscoroutinefunction(
        getattr(type(handler), "__call__", None)  # noqa: B004 - the function itself is asked about
    )


def is_plain(handler: Any) -> bool:
    """Whether `handler` can be called and gives its result at once."""
    return callable(handler) and not is_async(handler)


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
