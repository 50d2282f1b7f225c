"""Mailboxes with a limit: apart from `Mailbox`, so that those without one do not pay for it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Hashable
from time import perf_counter
from typing import Any

import pykka

from .future import Future, may_block
from .mailbox import Ask, Carried, Mailbox
from .overflow import BoundedQueue, MailboxPolicy, Offer

__all__ = ["Bound", "Bounded", "BoundedMailbox"]

logger = logging.getLogger("brama.actors")


class Bound:
    """The state of a mailbox's limit. Invariant: changes only under the mailbox's lock."""

    __slots__ = ("coalesced", "dropped", "policy", "queue", "waiting")

    def __init__(self, policy: MailboxPolicy) -> None:
        assert policy.limit is not None
        self.policy = policy
        self.queue = BoundedQueue(policy.limit, policy.overflow)
        # Senders that wait for room, in their order.
        self.waiting: deque[Future[Any]] = deque()
        self.coalesced = 0
        self.dropped = 0


# In the place of the list of an unbounded mailbox; it only has to be not None.
_BUSY: list[Any] = []


class Bounded(Mailbox):
    """What a mailbox with a `MailboxPolicy` does differently.

    Messages are taken one by one: those in a batch that was taken could not be given up any more.
    """

    __slots__ = ()

    # Not None here, from before the first message.
    _bound: Bound

    def bind(self, policy: MailboxPolicy) -> None:
        """Set the limit; once."""
        self._bound = Bound(policy)

    # -- sending
    # -------------------------------------------------------------------------------------

    def send(self, item: Any) -> bool:
        return self._send(item, self._bound.policy.timeout)

    def send_ask(self, ask: Ask, timeout: float | None) -> bool:
        patience = self._bound.policy.timeout
        if timeout is not None:
            patience = timeout if patience is None else min(patience, timeout)
        return self._send(ask, patience)

    def _send(self, item: Any, patience: float | None) -> bool:
        outcome = self.offer(item)
        if outcome is True or outcome is False:
            return outcome
        if self.own_thread() or not may_block():
            self.refuse(item, outcome)
            return True
        end = None if patience is None else perf_counter() + patience
        while True:
            try:
                outcome.get(timeout=None if end is None else max(0.0, end - perf_counter()))
            except pykka.Timeout:
                self.refuse(item, outcome)
                return True
            except BaseException:
                self.withdraw(outcome)
                raise
            again = self.offer(item, first=True)
            if again is True or again is False:
                return again
            outcome = again

    def offer(self, item: Any, *, first: bool = False) -> Future[Any] | bool:
        """Queue ``item`` by the policy; True also when it was dropped, False when closed.

        With ``"block"`` and no room, a future that is done when there may be. Whoever gives up
        waiting for it must say so by `refuse` or `withdraw`.

        Args:
            first: it had room and found it taken, so that no other who waits comes before it.
        """
        key = self._key(item)
        now = perf_counter()
        with self._lock:
            if self.closed:
                return False
            if not self.counts(item):
                self._bound.queue.force(item, now)
                offer, victim = Offer.QUEUED, None
            else:
                offer, victim = self._bound.queue.offer(item, key, now)
                if offer is Offer.REFUSED and self._bound.policy.overflow == "block":
                    room: Future[Any] = Future()
                    if first:
                        self._bound.waiting.appendleft(room)
                    else:
                        self._bound.waiting.append(room)
                    return room
                if offer is Offer.COALESCED:
                    self._bound.coalesced += 1
                elif offer is not Offer.QUEUED:
                    self._bound.dropped += 1
            if len(self._bound.queue) > self.peak:
                self.peak = len(self._bound.queue)
            rouse = self._user is None
            if rouse:
                self._user = _BUSY
        if rouse:
            self._rouse()
        if offer is Offer.EVICTED or offer is Offer.REFUSED:
            self.undelivered(victim, evicted=offer is Offer.EVICTED)
        return True

    def _key(self, item: Any) -> Hashable:
        key = self._bound.policy.key
        if key is None or item.__class__ is Ask:
            return None
        message = item.message if item.__class__ is Carried else item
        if not self.counts(message):
            return None
        try:
            found = key(message)
            hash(found)
        except Exception:
            # The sender must not suffer for a fault in the receiver's policy.
            logger.exception(
                "the key of a mailbox policy failed for a %s", type(message).__qualname__
            )
            return None
        return found

    def refuse(self, item: Any, room: Future[Any]) -> None:
        """Give up waiting for room, and ``item`` with it."""
        self.withdraw(room)
        with self._lock:
            self._bound.dropped += 1
        self.undelivered(item, evicted=False)

    def withdraw(self, room: Future[Any]) -> None:
        """Give up waiting for room; room that was granted goes to the next who waits."""
        with self._lock:
            try:
                self._bound.waiting.remove(room)
                return
            except ValueError:
                pass
        self._grant()

    def _grant(self) -> None:
        with self._lock:
            room = self._bound.waiting.popleft() if self._bound.waiting else None
        if room is not None:
            room.resolve(None)

    # -- receiving
    # -----------------------------------------------------------------------------------

    def take(self) -> bool:
        with self._lock:
            self._rest = None
            if not self._bound.queue:
                if self._control or self._attention:
                    return True
                self._user = None
                return False
            self._rest = iter((self._bound.queue.pop(),))
            self._taken += 1
            self._since = perf_counter()
            waiting = bool(self._bound.waiting)
        if waiting:
            self._grant()
        return True

    def close(self) -> list[Any]:
        left = super().close()
        with self._lock:
            waiting, self._bound.waiting = self._bound.waiting, deque()
        for room in waiting:  # their next try is told that it is closed
            room.resolve(None)
        return left

    def _unread(self) -> list[Any]:
        return self._bound.queue.drain()

    # -- figures
    # -------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        return super().length + len(self._bound.queue)

    @property
    def limit(self) -> int | None:
        return self._bound.policy.limit

    @property
    def oldest_age(self) -> float | None:
        try:
            return perf_counter() - self._bound.queue.oldest
        except IndexError:
            return None


class BoundedMailbox(Bounded):
    """A bounded mailbox that belongs to no actor."""

    __slots__ = ()

    def __init__(self, wake: Any, policy: MailboxPolicy) -> None:
        super().__init__(wake)
        self.bind(policy)
