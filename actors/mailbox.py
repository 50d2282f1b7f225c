"""The queue in front of an actor: two lanes, one lock, closed atomically."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from operator import length_hint
from time import perf_counter
from typing import Any

from .future import Future
from .statistics import MailboxStatistics

__all__ = ["Ask", "Carried", "Mailbox", "unwrapped"]


class Ask:
    """A message whose sender waits for a reply in ``future``."""

    __slots__ = ("context", "future", "message")

    def __init__(self, message: Any, future: Future[Any], context: Context | None = None) -> None:
        self.message = message
        self.future = future
        # The sender's, if it travels with the message.
        self.context = context


class Carried:
    """A message that brings its sender's context along."""

    __slots__ = ("context", "message")

    def __init__(self, message: Any, context: Context) -> None:
        self.message = message
        self.context = context


def unwrapped(item: Any) -> Any:
    """The message as its sender wrote it."""
    while item.__class__ is Carried or item.__class__ is Ask:
        item = item.message
    return item


class Mailbox:
    """Messages on their way to one consumer.

    Two lanes: *control* (exits of children, orders from a supervisor) is read before *user*
    (everything else, in the order of sending). A tell is stored as the bare message, an ask as an
    `Ask`: an envelope per tell would be a third of its cost.

    The consumer is woken exactly when the mailbox turns from idle to busy, through
    ``wake(mailbox)``.

    Threads: `send`, `send_control`, `put`, `close` and `length` from any thread; `take` and the
    iteration over ``_rest`` by the one consumer only.

    Failure: after `close` every send returns False and changes nothing, so that a message is either
    handed out by `close`, or taken, or refused: never lost.
    """

    __slots__ = (
        "_attention",
        "_bound",
        "_control",
        "_lock",
        "_rest",
        "_rest_since",
        "_since",
        "_taken",
        "_user",
        "_wake",
        "busy",
        "closed",
        "peak",
    )

    def __init__(self, wake: Callable[[Any], None]) -> None:
        # Invariant: _user, _control and closed change only under _lock. _user is None exactly while
        # the consumer is idle, which makes "is it busy?" part of the same locked step as the
        # append.
        self._lock = threading.Lock()
        self._user: list[Any] | None = None
        self._control: list[Any] | None = None
        # Invariant: only the consumer touches _rest, the unread part of the batch it took last.
        self._rest: Iterator[Any] | None = None
        self._wake = wake
        # Set to True by anyone, read by the consumer between two messages: "look up, there is more
        # than mail".
        self._attention = False
        self.closed = False
        self.peak = 0
        # The limit and what comes with it, where there is one. Here, because Python lays out the
        # slots of one base only, and `Bounded` is mixed in.
        self._bound: Any = None
        # When the oldest message in _user, and in _rest, can have come at the earliest. Noted per
        # batch, by the first message after a pause and by each `take`: a clock per message would be
        # a fifth of its cost.
        self._since = 0.0
        self._rest_since = 0.0
        # All messages that were ever taken, unread ones included.
        self._taken = 0
        # Seconds spent in hooks, added up by whoever runs them.
        self.busy = 0.0

    def send(self, item: Any) -> bool:
        """Append to the user lane; False when the mailbox is closed."""
        with self._lock:
            if self.closed:
                return False
            user = self._user
            if user is not None:
                user.append(item)
                return True
            self._user = [item]
            self._since = perf_counter()
        self._rouse()
        return True

    def send_ask(self, ask: Ask, _timeout: float | None) -> bool:
        """`send` a request; a mailbox that makes senders wait does so for ``timeout`` at most."""
        return self.send(ask)

    def offer(self, item: Any, *, first: bool = False) -> Future[Any] | bool:
        """`send` without ever waiting: a future instead, to be awaited before the next try."""
        return self.send(item)

    def send_control(self, item: Any) -> bool:
        """Append to the control lane; False when the mailbox is closed."""
        with self._lock:
            if self.closed:
                return False
            if self._control is None:
                self._control = []
            self._control.append(item)
            self._attention = True
            if self._user is not None:
                return True
            self._user = []
            self._since = perf_counter()
        self._rouse()
        return True

    def nudge(self) -> None:
        """Have the consumer look up from its mail, or from its rest. Any thread."""
        with self._lock:
            self._attention = True
            if self._user is not None:
                return
            self._user = []
            self._since = perf_counter()
        self._rouse()

    def _rouse(self) -> None:
        try:
            self._wake(self)
        except BaseException:
            # A KeyboardInterrupt may strike between the marking as busy and the wake. Without this,
            # nobody would ever wake this consumer again; waking it twice is harmless.
            self._wake(self)
            raise

    def put(self, envelope: Any) -> None:
        """Take a pykka envelope, for code that speaks to the inbox itself."""
        future = envelope.reply_to
        self.send(envelope.message if future is None else Ask(envelope.message, future))

    def get(self) -> Any:
        """Part of pykka's inbox protocol that is not ours: only the actor's own runtime reads."""
        raise NotImplementedError("a Brama mailbox is read by its actor's runtime only")

    def empty(self) -> bool:
        return self.length == 0

    @property
    def length(self) -> int:
        """Messages waiting in both lanes."""
        return length_hint(self._rest or ()) + len(self._user or ()) + len(self._control or ())

    @property
    def idle(self) -> bool:
        """True while there is nothing to read and the consumer has gone to rest."""
        return self._user is None

    def take(self) -> bool:
        """Move what has arrived into ``_rest``; False, and idle, when there is nothing."""
        with self._lock:
            user = self._user
            if user:
                self._user = []
                self._rest = iter(user)
                self._taken += len(user)
                if len(user) > self.peak:
                    self.peak = len(user)
                self._rest_since = self._since
                self._since = perf_counter()
                return True
            self._rest = None
            if self._control or self._attention:
                return True
            self._user = None
            self._rest_since = 0.0  # one float less for each actor at rest
            return False

    def take_control(self) -> list[Any]:
        """Hand out the control lane and reset the attention flag."""
        with self._lock:
            control, self._control = self._control, None
            self._attention = False
            if control is None:
                return []
            self._taken += len(control)
            return control

    def close(self) -> list[Any]:
        """Refuse further messages and hand out the unread ones, control lane first. Idempotent."""
        with self._lock:
            self.closed = True
            unread = [*(self._rest or ())]
            left = [*(self._control or ()), *unread, *self._unread()]
            if len(left) > self.peak:
                self.peak = len(left)
            self._taken -= len(unread)
            self._control = self._rest = None
            # Stays "busy": a consumer that still runs must not be woken for a closed mailbox.
            self._user = []
        return left

    def _unread(self) -> list[Any]:
        """What is in the user lane and was not taken. Under the lock."""
        return self._user or []

    # -- for the owner, where there is a limit
    # -------------------------------------------------------------------------------

    def counts(self, item: Any) -> bool:
        """Whether ``item`` is mail, as opposed to what the runtime itself sends."""
        return True

    def own_thread(self) -> bool:
        """Whether the caller is on the thread that would have to make room."""
        return False

    def undelivered(self, item: Any, *, evicted: bool) -> None:
        """Called, outside of the lock, with each item that was refused or given up."""

    # -- figures
    # -------------------------------------------------------------------------------------

    @property
    def limit(self) -> int | None:
        """How many messages may wait; None for any number."""
        return None

    @property
    def handled(self) -> int:
        """Messages that the consumer was given, the present one included."""
        return self._taken - length_hint(self._rest or ())

    @property
    def oldest_age(self) -> float | None:
        """Seconds that the oldest waiting message has waited at most; None when none waits."""
        if length_hint(self._rest or ()):
            return perf_counter() - self._rest_since
        return perf_counter() - self._since if self.length else None

    def busy_for(self) -> float:
        """Seconds spent in hooks so far."""
        return self.busy

    def statistics(self) -> MailboxStatistics:
        """All figures at once. Any thread; takes no lock."""
        length = self.length
        return MailboxStatistics(
            length=length,
            control=len(self._control or ()),
            peak=max(self.peak, length),
            limit=self.limit,
            oldest_age=self.oldest_age,
            handled=self.handled,
            busy=self.busy_for(),
            dropped=0 if self._bound is None else self._bound.dropped,
            coalesced=0 if self._bound is None else self._bound.coalesced,
            last_message_age=perf_counter() - self._since if self._taken else None,
        )
