"""What plain code, not being an actor, can do about an actor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from brama.telemetry import ConfigError

from .cell import Cell
from .exits import ExitReason, Killed, NoProc
from .ref import ActorRef

__all__ = ["kill", "watch"]


def kill(ref: ActorRef[Any], reason: ExitReason | None = None) -> None:
    """End the actor now and without asking it; it cannot refuse, and its `on_stop` does not run.

    What it does at this moment is cancelled; the thread of a `BlockingActor` cannot be, and is
    detached. Everybody else sees the exit reason (default `Killed`): monitors, and the supervisor,
    which restarts it by its rules.

    Threads: any. Returns at once; a dead actor is left alone.
    """
    cell = _cell(ref)
    reason = Killed() if reason is None else reason
    if cell.host.on_loop_thread():
        cell.kill(reason)
    else:
        cell.host.call_soon(cell.kill, reason)


def watch(ref: ActorRef[Any], callback: Callable[[ExitReason], None]) -> None:
    """Call ``callback(reason)`` once, when the actor ends; at once with `NoProc` if it is dead.

    For code that is no actor; an actor uses ``self.monitor(ref)``. The callback runs in the thread
    in which the actor ends, must not block and must not raise.

    Threads: any.
    """
    if not _cell(ref).watch(callback):
        callback(NoProc())


def _cell(ref: ActorRef[Any]) -> Cell:
    if not isinstance(ref.actor_inbox, Cell):
        raise ConfigError("ref", "a ref of an actor of brama.actors", ref)
    return ref.actor_inbox
