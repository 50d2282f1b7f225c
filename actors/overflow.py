"""What a bounded mailbox does when it is full. Pure: no lock, no clock, no waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from datetime import timedelta
from enum import Enum
from typing import Any, Literal, get_args

from attrs import field, frozen

from brama.telemetry import ConfigError, takes_only, unknown

from .durations import duration

__all__ = ["BoundedQueue", "MailboxPolicy", "Offer", "Overflow"]

Overflow = Literal["block", "drop_newest", "drop_oldest", "coalesce"]


def _check_limit(_policy: object, _attribute: object, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError("limit", "a number of messages, 1 or more, or None for no limit", value)


def _overflow(value: Overflow) -> Overflow:
    if value not in get_args(Overflow):
        raise unknown("overflow", value, get_args(Overflow))
    return value


def _check_key(_policy: object, _attribute: object, value: Any) -> None:
    if value is not None and not callable(value):
        raise ConfigError("key", "a function of the message", value)


def _seconds(value: float | timedelta | None) -> float | None:
    return None if value is None else duration("timeout", value, zero=True)


@takes_only("an option of a mailbox")
@frozen
class MailboxPolicy:
    """How many messages may wait for an actor, and what gives when one more comes.

    Example:
        >>> class Prices(InlineActor):
        ...     mailbox = MailboxPolicy(100, "coalesce", key=lambda tick: tick.symbol)

    Set it as ``mailbox`` in the class, or for one child as ``ChildSpec(..., mailbox=...)``.

    Options:
        limit: messages that may wait, not counting the one that is handled. None: no limit, which
            is what actors without a policy have, too.
        overflow: ``"drop_newest"`` (the default) refuses the message that comes;
            ``"drop_oldest"`` gives up the one that has waited longest; ``"coalesce"`` replaces a
            waiting message that has the same key, in its place, and for a new key gives up the
            oldest; ``"block"`` has the sender wait for room.
        key: for ``"coalesce"``: ``key(message)``, hashable; None means that it is like no other.
            Called in the sender's place, outside of all locks; the key's own ``__eq__`` is not, and
            must be quick. A request (`ask`, `call`) is never
            replaced.
        timeout: for ``"block"``: seconds that a sender waits before its message is dropped, 10.0; a
            `timedelta` is accepted. None waits as long as the actor lives.

    What the runtime itself sends (stops, exits, `Down`, the control lane) is not counted, never
    refused and never given up.

    Failure: a full mailbox never raises into a ``tell``. A dropped message is a `DeadLetter`, a
    dropped request fails at once with `MailboxFullError`, a replaced message is counted
    (`MailboxStatistics.coalesced`). ``"block"`` holds up plain threads and the threads of blocking
    actors; a sender that must not be held up (on any trio or asyncio loop, or an actor that writes
    to itself) is treated as by ``"drop_newest"``, and has ``await ref.atell(message)`` to wait.

    Raises:
        ConfigError: an option is wrong, or ``"coalesce"`` has no key.
    """

    limit: int | None = field(validator=_check_limit)
    overflow: Overflow = field(default="drop_newest", converter=_overflow)
    key: Callable[[Any], Hashable] | None = field(default=None, validator=_check_key)
    timeout: float | None = field(default=10.0, converter=_seconds, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.overflow == "coalesce") != (self.key is not None):
            expected = (
                "a function of the message, for overflow='coalesce'"
                if self.key is None
                else "None unless overflow='coalesce'"
            )
            raise ConfigError("key", expected, self.key)


class Offer(Enum):
    """What became of a message that was offered to a queue."""

    QUEUED = "queued"
    COALESCED = "coalesced"
    EVICTED = "evicted"
    REFUSED = "refused"


class _Entry:
    __slots__ = ("at", "counted", "item", "key")

    def __init__(self, item: Any, key: Hashable, at: float, counted: bool) -> None:
        self.item = item
        self.key = key
        self.at = at
        self.counted = counted


class BoundedQueue:
    """A queue of at most ``limit`` items, and any number that do not count.

    ``"block"`` and ``"drop_newest"`` are the same to it: it refuses.
    """

    __slots__ = ("_by_key", "_counted", "_entries", "_limit", "_makes_room")

    def __init__(self, limit: int, overflow: Overflow) -> None:
        self._entries: deque[_Entry] = deque()
        self._by_key: dict[Hashable, _Entry] = {}
        self._limit = limit
        self._counted = 0
        self._makes_room = overflow in ("drop_oldest", "coalesce")

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def oldest(self) -> float:
        """The ``at`` of the item that has waited longest."""
        return self._entries[0].at

    def offer(self, item: Any, key: Hashable = None, at: float = 0.0) -> tuple[Offer, Any]:
        """Take ``item``, which came at ``at``, if the rules allow; and what had to go for it."""
        if key is not None:
            try:
                present = self._by_key.get(key)
            except Exception:  # noqa: BLE001  (keys that cannot be compared are like no other)
                present = key = None
            if present is not None:
                replaced, present.item = present.item, item
                return Offer.COALESCED, replaced
        if self._counted < self._limit:
            self._append(item, key, at)
            return Offer.QUEUED, None
        if not self._makes_room:
            return Offer.REFUSED, item
        victim = self._evict()
        self._append(item, key, at)
        return Offer.EVICTED, victim

    def force(self, item: Any, at: float = 0.0) -> None:
        """Take ``item`` whatever the limit says, and never give it up."""
        self._entries.append(_Entry(item, None, at, False))

    def pop(self) -> Any:
        """The oldest item. Raises ``IndexError`` when there is none."""
        return self._leave(self._entries.popleft())

    def drain(self) -> list[Any]:
        """All items, oldest first; the queue is empty afterwards."""
        items = [entry.item for entry in self._entries]
        self._entries.clear()
        self._by_key.clear()
        self._counted = 0
        return items

    def _append(self, item: Any, key: Hashable, at: float) -> None:
        entry = _Entry(item, key, at, True)
        if key is not None:
            try:
                self._by_key[key] = entry
            except Exception:  # noqa: BLE001  (as above)
                entry.key = None
        self._entries.append(entry)
        self._counted += 1

    def _evict(self) -> Any:
        for index, entry in enumerate(self._entries):
            if entry.counted:
                del self._entries[index]
                return self._leave(entry)
        raise AssertionError("full, and nothing in it counts")

    def _leave(self, entry: _Entry) -> Any:
        if entry.counted:
            self._counted -= 1
            if entry.key is not None:
                self._forget_key(entry)
        return entry.item

    def _forget_key(self, entry: _Entry) -> None:
        try:
            if self._by_key.pop(entry.key) is entry:
                return
        except Exception:  # noqa: BLE001  (the key is not what it was when it came)
            pass
        # What is in the queue no more must not be found by its key: a message that replaces it
        # would be lost.
        self._by_key = {}
        for one in self._entries:
            one.key = None
