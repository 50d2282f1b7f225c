"""Telling the end of a task from a hook that raised what looks like one."""

from __future__ import annotations

import trio

__all__ = ["unwinds"]


def unwinds(
    error: BaseException, scope: trio.CancelScope | None, task: trio.lowlevel.Task | None
) -> bool:
    """Whether ``error`` is what takes ``task`` down, so that it must pass, and no fault of a hook.

    ``trio.Cancelled`` is, when ``scope`` or one around it was cancelled; a hook may also raise a
    stale one, and let out of the task it would take all others with it. ``GeneratorExit`` is, when
    Python closes what a dead loop has left behind; raised in a living task, it is a hook's own.
    """
    if isinstance(error, GeneratorExit):
        return not trio.lowlevel.in_trio_task() or trio.lowlevel.current_task() is not task
    if isinstance(error, BaseExceptionGroup):
        if error.split(trio.Cancelled)[1] is not None:
            return False
    elif not isinstance(error, trio.Cancelled):
        return False
    if scope is not None and scope.cancel_called:
        return True
    return not trio.lowlevel.in_trio_task() or trio.current_effective_deadline() == -float("inf")
