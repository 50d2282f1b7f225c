"""What all breakers of one system have in common."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from random import random as draw_evenly
from typing import Any, Protocol, cast
from uuid import uuid4

from brama.telemetry import follow, watching

from .connection_kind import ConnectionKind
from .feed import Tray
from .fields import Fields
from .generation import Generation
from .orders import Ordered
from .pulse import Pulses
from .severity import Severities

__all__ = ["Interest", "Nobody", "Shared", "Stripe"]

logger = logging.getLogger("brama.circuits")

STRIPES = 64

OF_EVERY_CALL = ("success", "call_ignored", "late_result")
"""Events of calls that are otherwise counted without a lock."""


class Stripe(Protocol):
    """A lock of breakers: re-entrant, and it says whether the calling thread is inside.

    The collector and handlers of signals run code of users anywhere, inside a locked section of
    this very thread, too. Whatever would change a circuit asks `_is_owned` first and, inside, is
    left in `Shared.asked` for when this thread leaves the section: nothing waits for its own
    thread, and nothing changes what is half done. Readings enter once more.
    """

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...
    def release(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *exc: object) -> None: ...
    def _is_owned(self) -> bool: ...  # of every `threading.RLock`; its `Condition` asks it, too


class Interest(Protocol):
    """Who wants to hear of what: the part of the subscriptions that a breaker asks for.

    Threads: both are read without a lock, in the thread of the guarded call.
    """

    version: int
    """Grows with every change of the subscriptions."""

    def mask(self, connection: str, scope: str | None, kind: ConnectionKind | None) -> int:
        """The kinds of events (`EventKind.bit`) that anybody wants of this connection."""
        ...


class Nobody:
    """The interest of a system without subscriptions."""

    version = 0

    def mask(self, connection: str, scope: str | None, kind: ConnectionKind | None) -> int:
        return 0


class Shared:
    """Clock, locks and outlets that the breakers of one system share.

    The locks are a fixed set of stripes, so that a fork can take them all.

    Attributes:
        clock: monotonic seconds. Called in the thread of the guarded call, never under a lock.
        wall: POSIX time in seconds, used as data only.
        interest: what subscribers want.
        ordered: told of every order, before it takes effect.
        watched: whether anybody wants an event of every call that was made; the one flag that a
            guarded call tests.
        watched_refusals: the same of every call that was refused.
        gone: told of a breaker that is being removed, while its counts can still be read.
        bell: told (outside the lock) that a breaker's log has entries for its connection actor.
        bypass: while the circuits are deactivated, what all calls pass through, uncounted.
        sources: where heartbeats, polls and the like are looked after.
        revive: asked to register a breaker again that was unregistered and is used.
        tray: where circuits leave what has changed, for whoever looks at all of them.
        pulses: of the process and its loops, while calls are under way that ask for them.
        metadata: of every circuit: where this process is, and what it belongs to.
        leaked: calls that ended without a word, not yet settled: neutral outcomes, and permits
            that were collected.
        asked: what was asked for inside a locked section, by the thread that is to do it.
        severities: the rules that say how much an event matters, if there are any.
        source: names this system in the ids of its events.
        heads: where the numbers of a connection go on from an earlier process, by scope and name:
            the epoch, 0 for a new one, and the number of the last critical event.
    """

    __slots__ = (
        "__weakref__",
        "_epoch",
        "_subscribed",
        "asked",
        "bell",
        "bypass",
        "clock",
        "gone",
        "heads",
        "interest",
        "leaked",
        "metadata",
        "ordered",
        "pulses",
        "random",
        "revive",
        "severities",
        "source",
        "sources",
        "stripes",
        "tray",
        "wall",
        "watched",
        "watched_refusals",
    )

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        interest: Interest | None = None,
        draw: Callable[[], float] = draw_evenly,
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.interest: Interest = Nobody() if interest is None else interest
        self.metadata: Mapping[str, Any] = {}
        self.severities: Severities | None = None
        self.watched = False
        self.watched_refusals = False
        self._subscribed = False
        # Any stands for a Breaker, which is made of this and not the other way round.
        self.bell: Callable[[Any], None] = _silent
        self.gone: Callable[[Any], None] = _silent
        self.ordered: Ordered = _silent
        self.revive: Callable[[Any], None] = _admit
        self.sources: Any = NoSources()
        self.bypass: Generation | None = None
        # The collector may run inside a locked section, and with it finalizers and the last lines
        # of generators: they append here and never wait for a lock.
        self.leaked: deque[tuple[Any, Generation, int]] = deque()
        # Invariant: each thread writes its own entry only.
        self.asked: dict[int, Asked] = {}
        self.random = draw
        self.stripes = tuple(cast("Stripe", threading.RLock()) for _ in range(STRIPES))
        self.renew()
        follow(self.look)

    def subscribe(self, wants: Callable[[str], bool]) -> None:
        """The subscriptions have changed: `wants` says whether any wants that kind of event."""
        self.watched_refusals = wants("call_rejected")
        self._subscribed = any(map(wants, OF_EVERY_CALL))
        self.look()

    def look(self) -> None:
        """Whether anybody does: a subscription, or a listener of `brama.circuit.call.succeeded`."""
        self.watched = self._subscribed or watching.successes

    def located(self, fields: Mapping[str, Any]) -> Fields:
        """The data of an event of no connection, with where this process is."""
        return Fields({**fields, "metadata": self.metadata} if self.metadata else fields)

    def renew(self) -> None:
        """Become the source of a new process: at the start, and in the child of a fork."""
        self.source = uuid4().hex[:12]
        self._epoch = int(self.wall() * 1000)
        self.heads: dict[tuple[str | None, str], tuple[int, int]] = {}
        self.pulses = Pulses()
        self.tray = Tray()

    def resume(self, heads: dict[tuple[str | None, str], tuple[int, int]]) -> None:
        """The first circuit of each of these keys goes on with these numbers."""
        self.heads = heads
        self._epoch = max(self._epoch, *(epoch for epoch, _ in heads.values()), 0)

    def begin(self, scope: str | None, name: str) -> tuple[int, int]:
        """The epoch of a circuit that is installed now, and the last number that was given.

        Threads: as `next_epoch`.
        """
        epoch, seq = self.heads.get((scope, name), (0, 0)) if self.heads else (0, 0)
        return epoch or self.next_epoch(), seq

    def begun(self, scope: str | None, name: str) -> None:
        """That circuit has its numbers: when it is registered anew, new ones begin.

        Threads: as `next_epoch`.
        """
        self.heads.pop((scope, name), None)

    def stripe(self, key: object) -> Stripe:
        """The lock of the breaker with this key."""
        return self.stripes[hash(key) % STRIPES]

    def inside(self) -> bool:
        """Whether the calling thread is in a locked section of any breaker."""
        return any(stripe._is_owned() for stripe in self.stripes)

    def later(self, what: Later) -> None:
        """Leave `what` to this thread, once it leaves the locked section that it is in.

        No other thread does it, and it comes in the order in which it was asked for.
        """
        self.asked.setdefault(threading.get_ident(), Asked()).append(what)

    def then(self, what: Callable[[], object]) -> None:
        """The same of what is all one to whoever does it."""
        self.later(partial(_do, what))

    def settle(self, *, wait: bool = True, ours: bool = False) -> None:
        """Do what could not be done at once.

        Whoever is about to look at a breaker comes here, and whoever has left a locked section.

        Args:
            wait: whether to wait for locks that others hold, and to do more than count.
            ours: whether this is our own loop, on which no code of users runs.
        """
        self._count(wait)
        if wait and self.asked:
            self.do_asked(ours=ours)

    def _count(self, wait: bool) -> None:
        leaked = self.leaked
        while leaked:
            try:
                breaker, generation, number = leaked.popleft()
            except IndexError:  # another thread was faster
                return
            now = self.clock() if self.watched else 0.0
            inside = breaker.lock._is_owned()
            if inside or not breaker.lock.acquire(blocking=wait):
                leaked.appendleft((breaker, generation, number))
                if inside:
                    self.later(self._count_again)
                return
            try:
                breaker._ignore(generation, number, now)
                wakes = breaker._wakes()
                ring = wait and self.watched and breaker._unrung()
            finally:
                breaker.lock.release()
            if ring:
                self.bell(breaker)
            for wake in wakes:
                wake()

    def _count_again(self, *, ours: bool) -> None:
        self._count(wait=False)

    def do_asked(self, *, ours: bool = False) -> None:
        """Do what this thread was asked for inside a locked section, if it is inside no more."""
        me = threading.get_ident()
        asked = self.asked.get(me)
        if asked is None or asked.doing or self.inside():
            return
        asked.doing = True  # what is asked for meanwhile stands behind the rest
        try:
            while asked:
                what = asked.popleft()
                try:
                    what(ours=ours)
                except Exception:
                    logger.exception("%r was left for later, and could not be done", what)
        finally:
            asked.doing = False
        self.asked.pop(me, None)

    def next_epoch(self) -> int:
        """A number that no earlier incarnation of any breaker here has had.

        Threads: called under the lock of the catalogue.
        """
        self._epoch = max(self._epoch + 1, int(self.wall() * 1000))
        return self._epoch


class Later(Protocol):
    """What is to be done once a locked section is left; `ours`: whether our own loop does it."""

    def __call__(self, *, ours: bool) -> object: ...


class Asked(deque[Later]):
    """What one thread is to do once it leaves a locked section."""

    doing = False


class NoSources:
    """In the place of `brama.circuits.Sources` where there is no system with a loop."""

    def add(self, source: object) -> None:
        """Refuse."""
        raise RuntimeError(f"{source!r} needs a loop to look from: make its circuit by a System")

    def remove(self, source: object) -> None:
        """Nothing is there to be ended."""


def _silent(_breaker: Any) -> None:
    """Nobody is there to be told."""


def _do(what: Callable[[], object], *, ours: bool) -> None:
    what()


def _admit(breaker: Any) -> None:
    """No catalogue is there to register it in: it starts from nothing by itself."""
    with breaker.lock:
        breaker.install(breaker.policy, breaker.options, breaker.metadata, breaker.kind)
    breaker.open_gate()
