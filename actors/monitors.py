"""Monitors: be told, once, that another actor has ended."""

from __future__ import annotations

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

    def send(self, item: Any) -> bool: ...


class Monitor:
    """One actor's watch over another, made by ``self.monitor(ref)``.

    Exactly one `Down` follows, at once when the target is dead already, unless `cancel` comes
    first.

    Source: Erlang ``monitor/2`` and ``demonitor(Ref, [flush])``.
    """

    __slots__ = ("_fired", "_target", "_watcher", "active", "ref")

    def __init__(self, watcher: Watcher, target: Watched, ref: ActorRef[Any]) -> None:
        self._watcher = watcher
        self._target = target
        self._fired = False
        self.ref = ref
        self.active = True

    def __repr__(self) -> str:
        return f"<Monitor of {self.ref}>"

    def __call__(self, reason: ExitReason) -> None:
        # Called by the target as it ends, on whatever thread that happens; once, but for certainty:
        if not self._fired:
            self._fired = True
            self._watcher.send(Down(self, self.ref, reason))

    def cancel(self) -> None:
        """Stop watching. A `Down` that is in the mailbox already is not delivered any more."""
        self.active = False
        self._target.unwatch(self)


@frozen
class Down:
    """Delivered to ``on_receive``: the actor behind ``ref`` has ended for ``reason``.

    It arrives behind the messages that the target sent before it ended, in the order of any signal
    between two actors, so it travels in the user lane; it is never dropped by a bounded mailbox.
    """

    monitor: Monitor
    ref: ActorRef[Any]
    reason: ExitReason
