"""All subscriptions of one system: what outlives the actors that deliver."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any, Unpack

import attrs

from brama.actors import (
    ActorDeadError,
    ActorRef,
    ChildExistsError,
    ChildSpec,
    DynamicSupervisor,
    Future,
    Restart,
    start_child,
    terminate_child,
    watch,
)
from brama.circuits import ConnectionKind, Event, Shared, covers
from brama.telemetry import BramaError, ConfigError

from .alarms import Alarms
from .batching import BatchingSubscription
from .deliverers import HandlerSupervisor, work_once
from .draining import drain
from .handlers import actor_of, may_be_target, target_of
from .index import Index, Listener
from .journal import Follower, Journal, order
from .kinds import identity
from .options import Choosing, Options, Subscribing, subscribing
from .owners import lives, present_owner
from .status import SubscriptionStatus
from .stream import EventStream, StreamSubscription
from .subscription import Subscription, Surroundings
from .tally import Tally
from .target import Target, key_of
from .witness import Witness
from .workers import Workers

__all__ = ["Subscribers", "Subscriptions"]

logger = logging.getLogger("brama.notifier")

Wanted = Callable[[str, "str | None", ConnectionKind], bool]
REMEMBERED = 100  # quarantined handlers that the health names


def _none(*_: Any) -> tuple[()]:
    """Nothing is there, and nobody to be told."""
    return ()


class Subscriptions:
    """The table of subscriptions, and the ways to subscribe.

    Args:
        shared: what the breakers have in common; told what is wanted.
        call_soon: runs a function on the loop of the actor system and starts that system when it is
            not running yet. It must not wait.
        on_own_loop: whether the caller is on that loop.
        journal: keeps events, for those who ask to be fed from it; None if there is none.
        snapshots: makes an event `snapshot` of each circuit whose name, scope and kind it is asked
            for.
        alarm: publishes an event `alarm` with these data.

    Threads: from any.
    """

    def __init__(
        self,
        shared: Shared,
        call_soon: Callable[..., object],
        on_own_loop: Callable[[], bool],
        journal: Journal | None = None,
        snapshots: Callable[[Wanted], Iterable[Event]] = _none,
        alarm: Callable[[dict[str, Any]], object] = _none,
    ) -> None:
        self.index: Index[Listener] = Index()
        self._journal = journal
        self.supervisor: ActorRef[Any] | None = None
        self._shared = shared
        self._call_soon = call_soon
        self._on_own_loop = on_own_loop
        self._snapshots = snapshots
        self._alarms = Alarms(alarm)
        self._around = Surroundings(self._ended, self.spill, self._alarms.overwhelmed, on_own_loop)
        self._workers = Workers(on_hanging=self._alarms.hanging)
        self._quarantined: deque[str] = deque(maxlen=REMEMBERED)
        self._ids = count(1)
        # Ended, and still in the table. Any thread adds to it at any moment, be it by a finalizer
        # in the middle of its own change of the table.
        self._endings: deque[Subscription] = deque()
        # Invariant: written under the lock of the index. The value says whether an actor delivers
        # from it.
        self._table: dict[Subscription, bool] = {}
        # Invariant: written under that lock. Those in the table that have a handler.
        self._alike: dict[tuple[object, ...], Subscription] = {}
        # Invariant: written under that lock. What feeds the durable ones among them.
        self._followers: dict[Subscription, Follower] = {}
        self._witness: Witness | None = None
        if journal is not None:
            self._witness = Witness(journal.note, rouse=journal.rouse)
            journal.settle = self._witness.settle
        self._tally = Tally(lambda: tuple(self._table))
        shared.interest = self.index
        if journal is not None:
            self.index.add(journal.tap)

    def subscribe(self, handler: Any = None, **options: Unpack[Subscribing]) -> Subscription:
        """Have `handler` called with what matches all that is given; see `brama.subscribe`."""
        asked = subscribing(options, home=self._shared)
        journal = self._durable(asked.durable)
        target = target_of(handler, self._on_own_loop)
        owner = present_owner()
        kind = Subscription if asked.batching is None else BatchingSubscription
        made = kind(next(self._ids), target, asked, owner=owner, surroundings=self._around)
        alike = _alike(made)
        with self.index.lock as mine:
            _check_alone(mine)
            present = self._alike.get(alike)
            if present is not None:
                present.owners.add(owner)
                return present
            follower = None
            if journal is not None and asked.durable is not None:
                follower = self._followers[made] = journal.follow(asked.durable, made)
            self._alike[alike] = made
            self._admit(made, follower, hosted=True)
        self._see(made)
        self._begin(made)
        self._call_soon(self._start, made)
        if journal is not None and follower is not None:
            order(journal, follower)
        self._end_with_actor(made)
        return made

    def _see(self, made: Subscription) -> None:
        made.witness = self._witness
        if self._witness is not None:
            self._witness.subscribed(made)

    def _begin(self, made: Subscription) -> None:
        if made.options.snapshot:
            made.begin_with(
                self._snapshots(
                    lambda name, scope, kind: (
                        covers(made.connection, name)
                        and made.scope in (None, scope)
                        and made.kind in (None, kind)
                    )
                )
            )

    def _end_with_actor(self, made: Subscription) -> None:
        """A subscription ends with the actor that it is for; pykka's own are noticed when told."""
        ref = made.target.given
        if isinstance(ref, ActorRef):
            watch(ref, lambda _reason: made.end(f"the actor {made.name} has ended"))

    def spill(self, subscription: Subscription, waiting: int) -> bool:
        """Feed `subscription`, whose queue of critical events is full, from the journal.

        Args:
            subscription: on which it holds the lock; on the loop thread.
            waiting: events that it has not finished.

        Returns:
            Whether there is a journal.
        """
        journal = self._journal
        if journal is None:
            return False
        with self.index.lock:
            if subscription not in self._table or subscription in self._followers:
                return False
            follower = self._followers[subscription] = journal.spill(subscription, waiting)
            self.index.remove(subscription)
            self.index.add(follower)
        order(journal, follower)
        return True

    def _durable(self, name: str | None) -> Journal | None:
        """The journal, if it is to feed the subscription."""
        if name is None:
            return None
        if self._journal is None:
            raise ConfigError(
                "durable",
                "given only where there is a journal",
                name,
                hint='Make one: brama.Settings(journal="sqlite:///path"), or set BRAMA_JOURNAL.',
            )
        return self._journal

    def stream(self, **options: Unpack[Choosing]) -> EventStream:
        """The events that match as an iterator; see `brama.events`."""
        asked = subscribing(options, Choosing, home=self._shared)

        def subscribe(stream: EventStream) -> StreamSubscription:
            made = StreamSubscription(
                next(self._ids),
                Target(stream, stream, "a stream of events", lossy=True),
                asked,
                owner=present_owner(),
                surroundings=self._around,
            )
            made.deliverer = stream
            with self.index.lock as mine:
                _check_alone(mine)
                self._admit(made, None, hosted=False)
            self._see(made)
            self._begin(made)
            return made

        return EventStream(subscribe)

    def unsubscribe(self, what: Any = None, **options: Unpack[Choosing]) -> int:
        """End subscriptions; how many have ended. See `brama.unsubscribe`."""
        # Who names a handler means it, wherever that was subscribed: only what names none, and so
        # could hit anybody, keeps to the caller's own.
        if isinstance(what, Subscription):
            if options:
                raise ConfigError("options", "not given together with a subscription", options)
            there = what in self._table
            what.close()
            return int(there)
        if isinstance(what, EventStream):
            return self.unsubscribe(what.subscription, **options)
        what = actor_of(what)
        if what is not None and not may_be_target(what):
            raise ConfigError("what", "what subscribe() returned, or was given as a handler", what)
        asked = subscribing(options, Choosing, home=self._shared)
        me = present_owner()
        ended = 0
        for one in list(self._table):
            if one.target.key() != key_of(what) if what is not None else me not in one.owners:
                continue
            if any(_differs(name, one.options, asked) for name in options):
                continue
            one.owners.discard(me)
            if what is not None or not any(lives(owner) for owner in list(one.owners)):
                one.close()
                ended += 1
        return ended

    def all(self) -> tuple[SubscriptionStatus, ...]:
        """The subscriptions that have not ended, each as a frozen snapshot."""
        return tuple(one.status() for one in tuple(self._table))

    def present(self) -> tuple[Subscription, ...]:
        """The subscriptions that have not ended."""
        return tuple(self._table)

    def adopt(self, supervisor: ActorRef[Any]) -> None:
        """`supervisor` is new: give it every subscription that wants an actor."""
        self.supervisor = supervisor
        self._take_out()  # those that a finalizer has ended while there was no loop to do it on
        for subscription, hosted in list(self._table.items()):
            if hosted:
                self._start(subscription)

    @property
    def at_work(self) -> bool:
        """Whether a handler outside of the loop is at work."""
        return any(one.occupied for one in self.present())

    def drain(self, deadline: float) -> None:
        """The tree is down: let handlers outside of it have what waits for them, until then."""
        hosted = [one for one, hosted in tuple(self._table.items()) if hosted]
        drain(hosted, lambda one: work_once(one, self._workers), deadline)

    def close_all(self, why: str) -> None:
        """The system has stopped."""
        for subscription in self.present():
            subscription.end(why)

    def after_fork(self) -> None:
        """In the child: the actors and threads stayed behind; the table is still good."""
        self._workers = Workers(on_hanging=self._alarms.hanging)
        self.supervisor = None
        self.index.after_fork()
        self._tally.after_fork()
        if self._witness is not None:
            self._witness.after_fork()
        for subscription, follower in list(self._followers.items()):
            if not follower.lasting:  # what it was behind with is the parent's
                del self._followers[subscription]
                subscription.on_finished = None
                self.index.remove(follower)
                self.index.add(subscription)
        for subscription in self._table:
            subscription.after_fork()
            if isinstance(subscription.handler, EventStream):
                subscription.handler.after_fork()

    def _admit(
        self, subscription: Subscription, follower: Follower | None, *, hosted: bool
    ) -> None:
        # What a durable one wants is journaled, and comes to it from there alone.
        self.index.add(subscription if follower is None else follower)
        self._shared.subscribe(self.index.wants_anywhere)
        # Last: who sees it listed takes it that it hears, and lists are read without a lock.
        self._table[subscription] = hosted

    def _start(self, subscription: Subscription, tries: int = 3) -> None:
        if self.supervisor is None or self._table.get(subscription) is not True:
            return  # it has ended, or the supervisor takes it over when it is up
        started = start_child(
            self.supervisor,
            ChildSpec(
                subscription.id,
                HandlerSupervisor,
                (subscription, self._workers),
                restart=Restart.TRANSIENT,
            ),
        )
        started.add_done_callback(partial(self._check_started, started, subscription, tries))

    def _check_started(
        self, started: Future[ActorRef[Any]], subscription: Subscription, tries: int
    ) -> None:
        """OTP tries a first start once; nobody may wait for such a handler in silence."""
        try:
            started.get(timeout=0)
        except (ActorDeadError, ChildExistsError):
            pass  # the supervisor has a successor, who takes all subscriptions over
        except Exception as error:
            if tries > 1 and _killed(error):
                self._start(subscription, tries - 1)
                return
            logger.critical(
                "the handler of subscription %s could not be started and gets nothing; mend it and "
                "subscribe again",
                subscription.name,
                exc_info=True,
            )
            subscription.end("its handler could not be started")

    def quarantined(self) -> tuple[str, ...]:
        """The names of the handlers that failed too often and get nothing any more."""
        return tuple(self._quarantined)

    def _ended(self, subscription: Subscription) -> None:
        self._endings.append(subscription)
        self._take_out()

    def _take_out(self) -> None:
        """Take those that have ended out of the table; when it returns, they are."""
        while True:
            # Entered even if nothing is left: another thread may be at the caller's own.
            with self.index.lock as mine:
                if not mine:
                    # The collector has run a finalizer in the middle of a change of the table. It
                    # gets nothing any more; the rest is done when that change is.
                    self._call_soon(self._take_out)
                    return
                try:
                    subscription = self._endings.popleft()
                except IndexError:  # another thread was faster
                    return
                follower = self._followers.pop(subscription, None)
                self.index.remove(subscription if follower is None else follower)
                hosted = self._table.pop(subscription, False)
                if hosted:
                    self._alike.pop(_alike(subscription), None)
                self._shared.subscribe(self.index.wants_anywhere)
            self._taken_out(subscription, follower, hosted=hosted)

    def _taken_out(
        self, subscription: Subscription, follower: Follower | None, *, hosted: bool
    ) -> None:
        if subscription.state == "quarantined":
            self._quarantined.append(subscription.name)
        self._tally.end(subscription)
        self._alarms.overwhelmed(subscription, False)
        if self._witness is not None:
            self._witness.ended(subscription)
        if follower is not None and self._journal is not None:
            self._journal.unfollow(follower)
        if hosted:
            self._call_soon(self._stop, subscription)
        else:
            subscription.tell(None)  # wakes whoever waits for the next event

    def _stop(self, subscription: Subscription) -> None:
        if self.supervisor is not None:
            # It may have ended by itself, by quarantine for example.
            _ = terminate_child(self.supervisor, subscription.id)


def _check_alone(mine: bool) -> None:
    """Refuse to subscribe in the middle of another change, which a finalizer might try."""
    if not mine:
        raise BramaError(
            "a finalizer has tried to subscribe in the middle of a change of the subscriptions: "
            "have it tell somebody who does"
        )


class Subscribers(DynamicSupervisor):
    """Supervises the handlers, each under a supervisor of its own.

    A new incarnation takes all subscriptions over.
    """

    def __init__(self, subscriptions: Subscriptions) -> None:
        super().__init__(intensity=1000)
        self._subscriptions = subscriptions

    async def on_start(self) -> None:
        await super().on_start()
        self._subscriptions.adopt(self.actor_ref)


def _killed(error: BaseException | None) -> bool:
    """Whether it was a kill that kept an actor from starting, and not a mistake of its own."""
    while error is not None:
        if isinstance(error, ActorDeadError):
            return True
        error = error.__cause__
    return False


def _alike(subscription: Subscription) -> tuple[object, ...]:
    """Equal for subscriptions of which the second would only make doubles of the first."""
    options = subscription.options
    return (
        subscription.target.same(),
        identity(options.filter),
        frozenset(options.events or ()),  # in whatever order they were given
        attrs.evolve(options, events=None, filter=None),
    )


def _differs(option: str, one: Options, asked: Options) -> bool:
    if option == "filter":
        return identity(one.filter) != identity(asked.filter)
    if option == "events":
        return set(one.events or ()) != set(asked.events or ())
    return bool(getattr(one, option) != getattr(asked, option))
