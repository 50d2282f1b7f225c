"""Whose hook is running: read off a stack, so that nobody has to note it beforehand.

Who sent a dead letter, who holds the loop, what a thread is busy with: each is asked rarely, and
the answer stands in the frames anyway. Keeping it in a variable would cost every message.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

__all__ = ["Running", "calls_hooks", "running_in"]

F = TypeVar("F", bound=Callable[..., Any])

# The methods of cells that call hooks, and the hook that each calls. Written at import only.
_places: dict[CodeType, str] = {}


class Running:
    """A hook on a stack: the cell, the hook's name, and the message as it lay in the mailbox."""

    __slots__ = ("cell", "hook", "item")

    def __init__(self, cell: Any, hook: str, item: Any) -> None:
        self.cell = cell
        self.hook = hook
        self.item = item


def calls_hooks(hook: str) -> Callable[[F], F]:
    """Mark a method of a cell that calls ``hook``; its local ``item``, if any, is the message."""

    def mark(method: F) -> F:
        _places[method.__code__] = hook
        return method

    return mark


def running_in(frame: FrameType | None) -> Running | None:
    """The innermost hook that runs on the stack that ends in ``frame``."""
    while frame is not None:
        hook = _places.get(frame.f_code)
        if hook is not None:
            names = frame.f_locals
            return Running(names.get("self"), hook, names.get("item"))
        frame = frame.f_back
    return None
