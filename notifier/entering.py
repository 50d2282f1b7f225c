"""Whether a thread that was about to call a handler has entered it: what `close` waits for.

A thread may be interrupted between its last look at the subscription and the first line of the
handler. No flag can close that hole, for setting one comes before the call or after its beginning;
the stack tells.
"""

from __future__ import annotations

import dis
import sys
import time
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import Any, TypeVar

__all__ = ["calls_handlers", "wait_entered"]

PATIENCE = 0.1
"""Seconds after which it is given up: the handler is one call into C, which has no stack."""

F = TypeVar("F", bound=Callable[..., Any])

# The functions that call handlers. Written at import only.
_callers: set[CodeType] = set()
_RESUME = dis.opmap["RESUME"]
_OURS = ("brama.notifier.", "brama.telemetry.", "brama.actors.")


def calls_handlers(function: F) -> F:
    """Mark a function that calls handlers itself."""
    _callers.add(function.__code__)
    return function


def wait_entered(threads: Iterable[int | None], pending: Callable[[], bool]) -> None:
    """Wait until none of these threads is on its way into a handler.

    Args:
        threads: by their idents.
        pending: whether what they were seen to deliver is still under way.
    """
    deadline = time.monotonic() + PATIENCE
    while pending() and time.monotonic() < deadline:
        frames = sys._current_frames()
        if not any(_on_its_way(frames.get(one)) for one in threads if one is not None):
            return
        del frames  # they would keep the locals of all threads alive
        time.sleep(0.00005)


def _on_its_way(frame: FrameType | None) -> bool:
    """Whether a stack ends in a function that calls handlers, before the handler's first line."""
    called: FrameType | None = None
    while frame is not None:
        if frame.f_code in _callers:
            return called is None or _is_ours(called) or not _has_begun(called)
        called, frame = frame, frame.f_back
    return False


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(_OURS)


def _has_begun(frame: FrameType) -> bool:
    # A function's first instruction of its own stands behind RESUME, at which threads change.
    code = frame.f_code.co_code
    first = next((at for at in range(0, len(code), 2) if code[at] == _RESUME), -1)
    return frame.f_lasti > first
