"""What plain code, not being an actor, can do about an actor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from datetime import timedelta
from typing import Any

from brama.telemetry import ConfigError

from .cell import cell_of
from .errors import ActorDeadError
from .exits import ExitReason, Killed, NoProc, exit_reason
from .ref import ActorRef
from .timers import Timer, set_timer
from .via import Via

logger = logging.getLogger("brama.actors")

__all__ = ["kill", "send_after", "send_exit", "send_interval", "watch"]


def kill(ref: ActorRef[Any] | Via, reason: ExitReason | BaseException | None = None) -> None:
    """End the actor now and without asking it; it cannot refuse, and its `on_stop` does not run.

    What it does at this moment is cancelled; the thread of a `BlockingActor` cannot be, and is
    detached. Everybody else sees the exit reason (default `Killed`): monitors, and the supervisor,
    which restarts it by its rules.

    Threads: any. Returns at once; a dead actor is left alone.

    Source: Erlang ``exit(Pid, kill)``, seen by others as ``killed``.
    """
    reason = Killed() if reason is None else exit_reason(reason)
    cell = cell_of(ref)
    if cell is None:
        return
    if cell.host.on_loop_thread():
        cell.kill(reason)
    else:
        cell.host.call_soon(cell.kill, reason)


def send_exit(
    ref: ActorRef[Any] | Via,
    reason: ExitReason | BaseException,
    *,
    sender: ActorRef[Any] | None = None,
) -> None:
    """Send the actor an exit signal, as if an actor linked to it had ended for ``reason``.

    If it traps exits it receives ``ExitSignal(sender, reason)``. Otherwise it ends at once for
    ``reason``, without `on_stop`; `Normal` leaves it alone. To end an actor that traps, `kill` it.

    Threads: any. Returns at once; a dead actor is left alone.

    Source: Erlang ``exit(Pid, Reason)``, Elixir ``Process.exit/2``.
    """
    reason = exit_reason(reason)
    cell = cell_of(ref)
    if cell is not None:
        cell.host.call_soon(cell.take_signal, sender, reason, None)


def watch(ref: ActorRef[Any] | Via, callback: Callable[[ExitReason], None]) -> None:
    """Call ``callback(reason)`` once, when the actor ends; at once with `NoProc` if it is dead.

    For code that is no actor; an actor uses ``self.monitor(ref)``. The callback runs in the thread
    in which the actor ends, and must not block. Each call counts, also with the same callback.

    Threads: any.

    Failure: what the callback raises is logged.
    """
    if not callable(callback):
        raise ConfigError("callback", "something to call with the exit reason", callback)

    # An object of our own for each watch: it stands in a table of the actor's, under a lock, where
    # neither the callback's own idea of equality nor its errors have any business.
    def watcher(reason: ExitReason) -> None:
        try:
            callback(reason)
        except BaseException:  # whatever it is, the others have to hear of the end, too
            logger.exception("a callback that watched %s failed", ref)

    cell = cell_of(ref)
    if cell is None or not cell.watch(watcher):
        callback(NoProc())


def send_after(
    ref: ActorRef[Any] | Via, seconds: float | timedelta, message: Any, *, key: Hashable = None
) -> Timer:
    """Send ``message`` to the actor in ``seconds``; its own ``self.after`` for everybody else.

    The timer belongs to the actor and ends with it.

    Args:
        seconds: at least 0, in the time of the actor's loop.
        key: replaces an earlier timer of this actor with the same key.

    Threads: any.

    Failure: for an actor that is dead already, `ActorDeadError`.

    Source: Elixir ``Process.send_after/3``.
    """
    return _timer(ref, seconds, message, every=False, key=key)


def send_interval(
    ref: ActorRef[Any] | Via, seconds: float | timedelta, message: Any, *, key: Hashable = None
) -> Timer:
    """Send ``message`` to the actor every ``seconds``; its own ``self.every`` for everybody else.

    As `send_after` otherwise; beats do not drift, and missed ones are skipped.

    Source: Erlang ``timer:send_interval/3``.
    """
    return _timer(ref, seconds, message, every=True, key=key)


def _timer(
    ref: ActorRef[Any] | Via,
    seconds: float | timedelta,
    message: Any,
    *,
    every: bool,
    key: Hashable,
) -> Timer:
    cell = cell_of(ref)
    if cell is None or cell.ended:
        raise ActorDeadError(f"{ref} is dead, so that no timer can be set for it")
    return set_timer(cell, seconds, message, every=every, key=key)
