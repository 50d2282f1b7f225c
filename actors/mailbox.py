"""The queue in front of an actor: two lanes, one lock, closed atomically."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from operator import length_hint
from typing import Any

from .future import Future

__all__ = ["Ask", "Mailbox"]


class Ask:
    """A message whose sender waits for a reply in ``future``."""

    __slots__ = ("future", "message")

    def __init__(self, message: Any, future: Future[Any]) -> None:
        self.message = message
        self.future = future


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

    __slots__ = ("_attention", "_control", "_lock", "_rest", "_user", "_wake", "closed", "peak")

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
        self._rouse()
        return True

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
        self._rouse()
        return True

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
                if len(user) > self.peak:
                    self.peak = len(user)
                return True
            self._rest = None
            if self._control:
                return True
            self._user = None
            return False

    def take_control(self) -> list[Any]:
        """Hand out the control lane and reset the attention flag."""
        with self._lock:
            control, self._control = self._control, None
            self._attention = False
        return control or []

    def close(self) -> list[Any]:
        """Refuse further messages and hand out the unread ones, control lane first. Idempotent."""
        with self._lock:
            self.closed = True
            left = [*(self._control or ()), *(self._rest or ()), *(self._user or ())]
            self._control = self._rest = None
            # Stays "busy": a consumer that still runs must not be woken for a closed mailbox.
            self._user = []
        return left
