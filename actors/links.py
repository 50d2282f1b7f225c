"""Links: two actors that end together, unless one of them traps exits.

The rules, from Erlang's "Processes" reference, for what an actor does with an *exit signal*:

    reason of the sender       not trapping       trapping
    ``Normal``                 ignored            `ExitSignal` message
    anything else              ends, same reason  `ExitSignal` message
    ``kill(ref)``              ends               ends; its own links carry `Killed`
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from attrs import frozen

from .exits import ExitReason

__all__ = ["ExitSignal", "join", "part", "propagate", "receives"]


@frozen
class ExitSignal:
    """Delivered to ``on_receive`` of an actor with ``trap_exit``: a linked actor has ended.

    It arrives behind the messages that the linked actor sent before it ended. ``ref`` is None when
    plain code sent it with `send_exit`.

    Source: Erlang ``{'EXIT', From, Reason}``.
    """

    ref: Any
    reason: ExitReason


class _Host(Protocol):
    def call_soon(self, fn: Callable[..., object], *args: object) -> bool: ...


class Linked(Protocol):
    """One side of a link."""

    _lock: threading.Lock
    links: dict[Any, None] | None
    ref: Any

    @property
    def host(self) -> _Host: ...

    @property
    def ended(self) -> bool: ...

    def take_signal(self, sender: Any, reason: ExitReason, link: Any) -> None: ...


def join(one: Linked, other: Linked) -> bool:
    """Link the two; False when one of them has ended. A second time changes nothing. Any thread."""
    if one is other:
        return True  # as in Erlang: allowed, and without effect
    # Invariant: a link stands on both sides or on none, so both locks are held, and always in the
    # same order. Nothing else ever holds two of them.
    first, second = (one, other) if id(one) < id(other) else (other, one)
    with first._lock, second._lock:
        if one.ended or other.ended:
            return False
        for side, peer in ((one, other), (other, one)):
            if side.links is None:
                side.links = {}
            side.links[peer] = None
    return True


def part(one: Linked, other: Linked) -> bool:
    """Undo `join`: no signal of the other takes effect from now on. Any thread."""
    if one is other:
        return False
    first, second = (one, other) if id(one) < id(other) else (other, one)
    with first._lock, second._lock:
        linked = one.links is not None and one.links.pop(other, _ABSENT) is None
        if other.links is not None:
            other.links.pop(one, None)
    return linked


def propagate(ended: Linked, peers: dict[Any, None] | None, reason: ExitReason) -> None:
    """Send the exit signal of an actor that has ended to those that were linked to it."""
    for peer in peers or ():
        # Through the peer's own loop: a kill belongs there, and a chain of ten thousand links must
        # not become ten thousand frames.
        peer.host.call_soon(peer.take_signal, ended.ref, reason, ended)


def receives(side: Linked, link: Any) -> bool:
    """Whether a signal by that link still counts; it is used up. None: not by a link at all."""
    if link is None:
        return True
    with side._lock:
        return side.links is not None and side.links.pop(link, _ABSENT) is None


_ABSENT: Any = object()
