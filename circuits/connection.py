"""The actors that manage circuits: one for each circuit that has something to manage.

A breaker decides by itself, in the thread of the call. Its connection actor does what needs no
caller: it takes the records of the breaker's log to the registry, in order, and watches the clock,
so that an expiry or a lost probe is noticed without traffic. Whatever must outlive the actor is in
the breaker; a successor carries on from its log.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs

from brama.actors import (
    ActorDeadError,
    ActorRef,
    ChildExistsError,
    ChildSpec,
    DynamicSupervisor,
    Future,
    InlineActor,
    Names,
    Restart,
    start_child,
)

from .breaker import Breaker
from .cleanup import Cleanup
from .health import Checker, Checks
from .log import Record
from .sources import Sources
from .state import State
from .tracing import tell_transition

__all__ = ["REGISTRY", "Bells", "Circuits", "ConnectionActor", "Publish", "tell_of_cleanup"]

logger = logging.getLogger("brama.circuits")

REGISTRY = "registry"
"""The name under which the registry actor is found."""


TRIES = 3
AT_ONCE = 64
"""Starts of actors under way at the same time. What is behind them waits as a breaker with its log,
which is half of what it is with a request and an actor that has not come to its work yet."""
TOLERANCE = 0.001
"""Seconds by which a timer may be wrong: one that comes early is set once more."""


class Bell:
    """To a connection actor: there may be something in the log, or it has been published."""


class Resend:
    """To a connection actor: the registry is new and knows of nothing that was under way."""


class Tick:
    """To a connection actor: the clock wants a look."""


class Sweep:
    """To the supervisor: it is time to look for idle circuits, or to go on with that."""

    def __init__(self, *, goes_on: bool) -> None:
        self.goes_on = goes_on


class SetTimer:
    """To the supervisor: the interval of the cleanup is another one."""


BELL, RESEND, TICK, SET_TIMER = Bell(), Resend(), Tick(), SetTimer()
SWEEP, GO_ON = Sweep(goes_on=False), Sweep(goes_on=True)


@attrs.frozen(eq=False)
class Publish:
    """To the registry: queue the events of `records`, in order, to every matching subscription.

    It sets ``record.published`` for each of them and calls `done` in the end, so that the
    connection actor looks at its log.
    """

    records: Sequence[Record]
    done: Callable[[], object]


class Bells:
    """Rings from breakers to their connection actors; belongs to the system, not to an actor.

    Args:
        call_soon: runs a function on the loop of the actor system and starts that system when it
            is not running yet. It must not wait.

    Threads: `ring` from any; the rest on the loop thread.
    """

    def __init__(self, call_soon: Callable[..., object]) -> None:
        self._call_soon = call_soon
        self._lock = threading.Lock()
        # The managed breakers. None: its actor is not up, or is being restarted.
        self.actors: dict[Breaker, ActorRef[Any] | None] = {}
        # Invariant: written under the lock. Those whose actor has a bell in its mailbox: further
        # ones would tell it nothing and, under a flood of reports, pile up.
        self._rung: set[Breaker] = set()
        # Invariant: both change under the lock. Those that want an actor, in the order of their
        # rings, with the tries that are left; and whether somebody is coming to look at them.
        self._waiting: dict[Breaker, int] = {}
        self._called = False
        # Only the loop touches these: those of the waiting whose turn has come, whose start is
        # under way, and whether the next look at them is queued.
        self._turn: Iterator[tuple[Breaker, int]] = iter(())
        self._starting: set[Breaker] = set()
        self._coming = False
        self.supervisor: ActorRef[Any] | None = None
        self.checks = Checks()

    def ring(self, breaker: Breaker) -> None:
        """Something is in the log of `breaker`: tell its actor, or have one started."""
        call = False
        with self._lock:
            actor = self.actors.setdefault(breaker, None)
            if actor is None:
                self._waiting[breaker] = TRIES
                call = not self._called
                self._called = True
        if actor is not None:
            self.look(breaker)
        elif call:
            try:
                self._call_soon(self._start_waiting)
            except BaseException:  # a KeyboardInterrupt must not leave all the others waiting
                self._called = False
                raise

    def look(self, breaker: Breaker) -> None:
        """Have the actor of `breaker`, if it has one, look at the log."""
        with self._lock:
            actor = self.actors.get(breaker)
            if actor is None or breaker in self._rung:
                return
            self._rung.add(breaker)
        try:
            actor.tell(BELL)
        except ActorDeadError:
            pass  # its successor looks into the log first of all

    def arrived(self, breaker: Breaker, actor: ActorRef[Any]) -> None:
        """`actor` manages `breaker` from now on, and looks at it first of all."""
        with self._lock:
            self.actors[breaker] = actor
            self._rung.discard(breaker)
        self.look(breaker)

    def _start_waiting(self) -> None:
        """Have as many actors started as may be; the rest follows as these come up."""
        self._coming = False
        while len(self._starting) < AT_ONCE:
            entry = next(self._turn, None) or self._next_turn()
            if entry is None:
                return
            self._start(*entry)

    def _next_turn(self) -> tuple[Breaker, int] | None:
        """Take over all that have come meanwhile; returns the first."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            if not waiting:
                self._called = False  # the next ring has us called again
        self._turn = iter(waiting.items())
        return next(self._turn, None)

    def _start(self, breaker: Breaker, tries: int = TRIES) -> None:
        if self.supervisor is not None and self.actors.get(breaker, self) is None:
            self._starting.add(breaker)
            started = start_child(self.supervisor, _spec(breaker, self))
            started.add_done_callback(partial(self._check_started, started, breaker, tries))

    def _check_started(self, started: Future[ActorRef[Any]], breaker: Breaker, tries: int) -> None:
        """OTP tries a first start once; what is in the log must not wait for the next event."""
        self._starting.discard(breaker)
        try:
            started.get(timeout=0)
        except ActorDeadError:
            return  # the supervisor has a successor, who takes all managed circuits over
        except ChildExistsError:
            pass  # a ring and a new supervisor have asked for the same actor: it is on its way
        except Exception:
            if tries > 1:
                with self._lock:
                    self.actors[breaker] = None  # it may have arrived before it ended
                    self._rung.discard(breaker)
                    self._waiting[breaker] = tries - 1
            else:
                logger.exception(
                    "circuit %r has no connection actor; its next event has one started",
                    breaker.name,
                )
                with self._lock:
                    self.actors.pop(breaker, None)
                    self._rung.discard(breaker)
        if not self._coming:
            # Queued behind those that are up, and behind the registry: what they have to tell goes
            # out before there are more of them.
            self._coming = True
            self._call_soon(self._start_waiting)

    def have_checked(self, breaker: Breaker) -> None:
        """Have the circuit's remote asked while it is open, if its policy wants that."""
        if self.supervisor is not None and self.checks.missing(breaker):
            id = (breaker.scope, breaker.name, "health", breaker.current.number)
            spec = ChildSpec(id, Checker, (breaker, self.checks), restart=Restart.TRANSIENT)
            # It may be there already, on its way: the next look at the circuit tells.
            _ = start_child(self.supervisor, spec)

    def adopt(self, supervisor: ActorRef[Any]) -> None:
        """`supervisor` is new: give it every circuit that was managed."""
        self.supervisor = supervisor
        self.checks.renew()
        self._starting.clear()
        self._turn = iter(())
        with self._lock:
            for breaker in self.actors:
                self.actors[breaker] = None
                self._waiting[breaker] = TRIES
            self._called = True
        self._start_waiting()

    def resend(self) -> None:
        """The registry is new: what it has not published must reach it again."""
        for actor in list(self.actors.values()):
            if actor is not None:
                try:
                    actor.tell(RESEND)
                except ActorDeadError:
                    pass

    def heard(self, breaker: Breaker) -> None:
        """Its actor is about to look at the breaker; the next ring is news."""
        with self._lock:
            self._rung.discard(breaker)
            if not self._rung:
                self._rung.clear()  # gives back what a flood has made of it

    def published(self) -> bool:
        """Whether all that has happened has been queued to everybody who wants it."""
        return all(breaker.published() for breaker in list(self.actors))

    def unpublished(self) -> list[Record]:
        """What is still in the logs, once no actor is there to take it out."""
        return [record for breaker in list(self.actors) for record in breaker.pending()]

    def leave(self, breaker: Breaker) -> bool:
        """Whether `breaker` has nothing left to manage; its actor may then end."""
        while True:
            with self._lock:
                # Under the lock, so that a ring comes either before it (and release() sees the
                # record) or after it (and starts a new actor).
                # A bell that is on its way would be a dead letter, so it is waited for.
                left = False if breaker in self._rung else breaker.release()
                if left:
                    self.actors.pop(breaker, None)
            if breaker.shared.asked:
                breaker.shared.settle(ours=True)
            if left is not None:
                return left
            with breaker.lock:  # wait here: with both locks, whoever rings inside would wait for us
                pass

    def forget_all(self) -> None:
        """In the child of a fork: the actors stayed behind, and the lock may be held there.

        The circuits that are not closed want actors of the child, as soon as its tree is up.
        """
        self._lock = threading.Lock()
        self.actors = {
            breaker: None for breaker in self.actors if breaker.state is not State.CLOSED
        }
        self._rung = set()
        self._waiting = {}
        self._called = self._coming = False
        self._turn = iter(())
        self._starting = set()
        self.supervisor = None
        self.checks = Checks()


def _spec(breaker: Breaker, bells: Bells) -> ChildSpec:
    return ChildSpec(
        id=breaker.key,
        start=ConnectionActor,
        args=(breaker, bells),
        restart=Restart.TRANSIENT,
    )


class ConnectionActor(InlineActor):
    """Manages one circuit; it is there only while there is something to manage.

    Killing it at any instant loses nothing: state, permits and records are the breaker's.
    """

    # Each record has brought the context of its own cause; that of whoever rings is nothing to it.
    carries_context = False

    # Slots because there may be one for each of a hundred thousand open circuits.
    __slots__ = ("_bells", "_due", "_sent", "breaker")

    def __init__(self, breaker: Breaker, bells: Bells) -> None:
        super().__init__()
        self.breaker = breaker
        self._bells = bells
        self._sent: Record | None = None
        self._due: float | None = None  # when the timer fires, by the clock of the circuit
        # Here and not in `on_start`, for which an actor has to be scheduled and waited for.
        bells.arrived(breaker, self.actor_ref)

    def on_receive(self, message: Any) -> None:
        self._bells.heard(self.breaker)
        if message is RESEND:
            self._sent = None
        elif message is TICK:
            self._due = None
        delay = self.breaker.tick()
        records = self.breaker.pending()
        if records:
            self._publish()
        else:
            self._sent = None  # it would keep a published record alive
        if self.breaker.policy.health_check is not None:
            self._bells.have_checked(self.breaker)
        if delay is not None:
            self._set_timer(delay)
        elif not records and self._bells.leave(self.breaker):
            self.exit()

    def _set_timer(self, delay: float) -> None:
        """Look again in so many seconds; a timer that says so already stays as it is."""
        due = self.breaker.shared.clock() + delay
        if self._due is None or abs(due - self._due) > TOLERANCE:
            self._due = due
            self.after(delay, TICK, key="tick")

    def _publish(self) -> None:
        """Send what comes next; it stays in the log until it is published."""
        registry = self.actor_system.names.whereis(REGISTRY)
        if registry is None:
            return  # it is being restarted, and asks for all of this when it is up
        # What was sent before is published first, and rings then: however slow the registry is,
        # its mailbox holds one part of each circuit, and the log the rest, which is bounded.
        if self._sent is not None and not self._sent.published:
            return
        records = self.breaker.take()
        if not records:
            return
        for record in records:
            self._trace(record)
        try:
            registry.tell(Publish(records, partial(self._bells.look, self.breaker)))
        except ActorDeadError:
            return
        self._sent = records[-1]

    def _trace(self, record: Record) -> None:
        """Make the span of a transition, once, and have its events follow from it."""
        if "new_state" in record.data:
            tell_transition(record)


class Circuits(DynamicSupervisor):
    """Supervises the connection actors, and removes idle circuits.

    A new incarnation takes over all managed circuits.
    """

    def __init__(self, bells: Bells, cleanup: Cleanup, sources: Sources) -> None:
        # Expected failures never reach it: only our own mistakes restart a child, and a mistake
        # over one circuit must not end the actors of thousands of others.
        super().__init__(intensity=1000)
        self._bells = bells
        self._cleanup = cleanup
        self._sources = sources

    async def on_start(self) -> None:
        await super().on_start()
        self._bells.adopt(self.actor_ref)
        self._sources.adopt(self.actor_ref)
        self._cleanup.changed = self._change_timer
        self._set_timer()

    async def on_receive(self, message: Any) -> Any:
        if message is SET_TIMER:
            self._set_timer()
            return None
        if isinstance(message, Sweep):
            try:
                self._sweep(message)
            except Exception:
                # It must cost nobody his connection actor.
                logger.exception("idle circuits were not removed; the next sweep tries again")
            return None
        return await super().on_receive(message)

    def _change_timer(self) -> None:
        try:
            self.actor_ref.tell(SET_TIMER)
        except ActorDeadError:
            pass  # its successor sets it anyhow

    def _set_timer(self) -> None:
        self.every(self._cleanup.interval, SWEEP, key=SWEEP)

    def _sweep(self, message: Sweep) -> None:
        if not message.goes_on:
            self._cleanup.begin()
        if self._cleanup.slice():
            self.actor_ref.tell(GO_ON)  # behind whatever has come meanwhile
        elif self._cleanup.removed:
            tell_of_cleanup(self._cleanup.record(self._cleanup.removed), self.actor_system.names)


def tell_of_cleanup(record: Record, names: Names) -> None:
    """Send the event of what was removed to whoever wants it; at most once."""
    registry = names.whereis(REGISTRY)
    if registry is not None:
        try:
            registry.tell(Publish([record], _heard))
        except ActorDeadError:
            pass


def _heard() -> None:
    """Nobody waits for the publication of such an event."""
