"""What kind of callable a handler is."""

from __future__ import annotations

from functools import partial
from inspect import iscoroutinefunction
from typing import Any

__all__ = ["is_async", "is_plain", "name_of"]


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


def _inner(handler: Any) -> Any:
    while isinstance(handler, partial):
        handler = handler.func
    return handler
