"""Monitors: be told, once, that another actor has ended."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from attrs import frozen

from .exits import ExitReason
from .ref import ActorRef

__all__ = ["Down", "Monitor"]


class Watched(Protocol):
    """The monitored side."""

    def unwatch(self, watcher: Any) -> None: ...


class Watcher(Protocol):
    """The side that is told."""

    _lock: threading.Lock
    monitors: set[Any] | None

    def send(self, item: Any) -> bool: ...


class Monitor:
    """One actor's watch over another, made by ``self.monitor(ref)``.

    Exactly one `Down` follows, at once when the target is dead already, unless `cancel` comes
    first. There may be several between the same two actors; each fires.

    Source: Erlang ``monitor/2`` and ``demonitor(Ref, [flush])``.
    """

    __slots__ = ("_settled", "_target", "_watcher", "active", "ref")

    def __init__(self, watcher: Watcher, target: Watched | None, ref: ActorRef[Any]) -> None:
        self._watcher = watcher
        self._target = target
        # Invariant: changes once, under the watcher's lock: fired or cancelled, whichever is first.
        self._settled = False
        self.ref = ref
        # False once a `Down` that is in the mailbox must not be delivered any more.
        self.active = True

    def __repr__(self) -> str:
        return f"<Monitor of {self.ref}>"

    @property
    def watcher(self) -> Any:
        """Who watches."""
        return self._watcher

    def __call__(self, reason: ExitReason) -> None:
        # Called by the target as it ends, on whatever thread that happens.
        if self._settle():
            self._watcher.send(Down(self, self.ref, reason))

    def cancel(self, *, flush: bool = True) -> bool:
        """Stop watching; returns False when the target's end was noticed before.

        Args:
            flush: True also drops a `Down` that is in the mailbox already; False lets it arrive.

        Threads: any.
        """
        if flush:
            self.active = False
        if not self._settle():
            return False
        if self._target is not None:
            self._target.unwatch(self)
        return True

    def _settle(self) -> bool:
        watcher = self._watcher
        with watcher._lock:
            if self._settled:
                return False
            self._settled = True
            # A watcher that outlives thousands of targets must not remember each.
            if watcher.monitors is not None:
                watcher.monitors.discard(self)
        return True


@frozen
class Down:
    """Delivered to ``on_receive``: the actor behind ``ref`` has ended for ``reason``.

    It arrives behind the messages that the target sent before it ended, in the order of any signal
    between two actors, so it travels in the user lane; it is never dropped by a bounded mailbox.
    """

    monitor: Monitor
    ref: ActorRef[Any]
    reason: ExitReason
