"""All subscriptions of one system: what outlives the actors that deliver."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Any, cast

import trio

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
)
from brama.circuits import Event, Shared, check_events, check_name, check_scope, whole
from brama.telemetry import ConfigError

from .deliverers import AsyncioHandler, HandlerSupervisor, TrioHandler
from .handler_actor import handler_class
from .index import Index, Listener
from .inline import Inline
from .journal import Follower, Journal, order
from .kinds import identity, is_async, is_plain, name_of
from .stream import EventStream
from .subscription import Subscription
from .tally import Tally
from .workers import Workers

__all__ = ["Subscribers", "Subscriptions"]

logger = logging.getLogger("brama.notifier")

REMEMBERED = 100  # quarantined handlers that the health names


class Subscriptions:
    """The table of subscriptions, and the ways to subscribe.

    Args:
        shared: what the breakers have in common; told what is wanted.
        call_soon: runs a function on the loop of the actor system and starts that system when it is
            not running yet. It must not wait.
        on_own_loop: whether the caller is on that loop.
        journal: keeps events, for those who ask to be fed from it; None if there is none.

    Threads: from any.
    """

    def __init__(
        self,
        shared: Shared,
        call_soon: Callable[..., object],
        on_own_loop: Callable[[], bool],
        journal: Journal | None = None,
    ) -> None:
        self.index: Index[Listener] = Index()
        self._journal = journal
        self.supervisor: ActorRef[Any] | None = None
        self._shared = shared
        self._call_soon = call_soon
        self._on_own_loop = on_own_loop
        self._workers = Workers()
        self._quarantined: deque[str] = deque(maxlen=REMEMBERED)
        self._ids = count(1)
        self._lock = threading.Lock()
        # Invariant: written under the lock. The value says whether an actor delivers from it.
        self._table: dict[Subscription, bool] = {}
        # Invariant: written under the lock. Those in the table that have a handler.
        self._alike: dict[tuple[object, ...], Subscription] = {}
        # Invariant: written under the lock. What feeds the durable ones among them.
        self._followers: dict[Subscription, Follower] = {}
        self._tally = Tally(lambda: tuple(self._table))
        shared.interest = self.index
        if journal is not None:
            self.index.add(journal.tap)

    def subscribe(
        self,
        handler: Any,
        *,
        events: Iterable[str] | None = None,
        connection: str | None = None,
        scope: str | None = None,
        filter: Callable[[Event], object] | None = None,
        max_redeliveries: int = 3,
        durable: str | None = None,
    ) -> Subscription:
        """Have `handler` called with what matches all that is given; see `brama.subscribe`."""
        target, name = self._target(handler)
        made = self._make(target, name, events, connection, scope, filter, max_redeliveries)
        journal = self._durable(durable)
        made.durable = durable
        alike = _alike(made)
        with self._lock:
            present = self._alike.get(alike)
            if present is not None:
                return present
            follower = None
            if journal is not None and durable is not None:
                follower = self._followers[made] = journal.follow(durable, made)
            self._alike[alike] = made
            self._admit(made, follower, hosted=True)
        self._call_soon(self._start, made)
        if journal is not None and follower is not None:
            order(journal, follower)
        return made

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
        with self._lock:
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
        check_name("durable", name)
        if self._journal is None:
            raise ConfigError(
                "durable",
                "given only where there is a journal",
                name,
                hint='Make one: brama.Settings(journal="sqlite:///path"), or set BRAMA_JOURNAL.',
            )
        return self._journal

    def stream(
        self,
        *,
        events: Iterable[str] | None = None,
        connection: str | None = None,
        scope: str | None = None,
        filter: Callable[[Event], object] | None = None,
    ) -> EventStream:
        """The events that match as an iterator; see `brama.events`."""

        def subscribe(stream: EventStream) -> Subscription:
            made = self._make(stream, "a stream of events", events, connection, scope, filter, 0)
            made.deliverer = stream
            with self._lock:
                self._admit(made, None, hosted=False)
            return made

        return EventStream(subscribe)

    def unsubscribe(self, subscription: Subscription | None = None) -> int:
        """End one subscription, or all that the calling thread has made; how many have ended."""
        if subscription is not None:
            if not isinstance(subscription, Subscription):
                raise ConfigError("subscription", "what subscribe() returned", subscription)
            ended = subscription in self._table
            subscription.close()
            return int(ended)
        me = threading.get_ident()
        mine = [one for one in list(self._table) if one.owner == me]
        for one in mine:
            one.close()
        return len(mine)

    def all(self) -> tuple[Subscription, ...]:
        """The subscriptions that have not ended."""
        return tuple(self._table)

    def adopt(self, supervisor: ActorRef[Any]) -> None:
        """`supervisor` is new: give it every subscription that wants an actor."""
        self.supervisor = supervisor
        for subscription, hosted in list(self._table.items()):
            if hosted:
                self._start(subscription)

    def close_all(self, why: str) -> None:
        """The system has stopped."""
        for subscription in self.all():
            subscription.end(why)

    def after_fork(self) -> None:
        """In the child: the actors and threads stayed behind; the table is still good."""
        self._lock = threading.Lock()
        self._workers = Workers()
        self.supervisor = None
        self.index.after_fork()
        self._tally.after_fork()
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

    def _make(
        self,
        target: Any,
        name: str,
        events: Iterable[str] | None,
        connection: str | None,
        scope: str | None,
        filter: Callable[[Event], object] | None,
        max_redeliveries: int,
    ) -> Subscription:
        if filter is not None and not is_plain(filter):
            raise ConfigError("filter", "a plain function of one event", filter)
        return Subscription(
            next(self._ids),
            target,
            name=name,
            events=check_events(events),
            connection=None if connection is None else check_name("connection", connection),
            scope=check_scope(scope),
            filter=filter,
            max_redeliveries=whole("max_redeliveries", max_redeliveries, least=0),
            owner=threading.get_ident(),
            on_end=self._ended,
            spill=self.spill,
        )

    def _target(self, handler: Any) -> tuple[Any, str]:
        """What to deliver to, with the loop it belongs to, and a name for people."""
        cls = handler_class(handler)
        if cls is not None:
            return handler, name_of(cls)
        if isinstance(handler, Inline):
            return handler, name_of(handler.handler)
        if isinstance(handler, type) or not callable(handler):
            raise ConfigError(
                "handler",
                "a function of one event (plain, async or inline()) or a HandlerActor class",
                handler,
            )
        if not is_async(handler):
            return handler, name_of(handler)
        return self._on_present_loop(cast("Callable[[Event], Any]", handler)), name_of(handler)

    def _on_present_loop(self, handler: Callable[[Event], Any]) -> Any:
        if self._on_own_loop():
            return TrioHandler(handler, None)
        if trio.lowlevel.in_trio_run():
            return TrioHandler(handler, trio.lowlevel.current_trio_token())
        try:
            return AsyncioHandler(handler, asyncio.get_running_loop())
        except RuntimeError:  # a plain thread
            return TrioHandler(handler, None)

    def _admit(
        self, subscription: Subscription, follower: Follower | None, *, hosted: bool
    ) -> None:
        self._table[subscription] = hosted
        # What a durable one wants is journaled, and comes to it from there alone.
        self.index.add(subscription if follower is None else follower)
        self._shared.subscribe(self.index.wants_anywhere("success"))

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
        if subscription.state == "quarantined":
            self._quarantined.append(subscription.name)
        with self._lock:
            follower = self._followers.pop(subscription, None)
            self.index.remove(subscription if follower is None else follower)
            hosted = self._table.pop(subscription, False)
            if hosted:
                self._alike.pop(_alike(subscription), None)
            self._shared.subscribe(self.index.wants_anywhere("success"))
        self._tally.end(subscription)
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
    handler = subscription.handler
    loop: object = None
    if isinstance(handler, AsyncioHandler):
        loop = handler.loop
    elif isinstance(handler, TrioHandler):
        loop = handler.token
    inner = (
        handler.handler if isinstance(handler, Inline | AsyncioHandler | TrioHandler) else handler
    )
    return (
        type(handler) if inner is not handler else None,
        identity(inner),
        id(loop),
        identity(subscription.filter),
        subscription.events,
        subscription.connection,
        subscription.scope,
        subscription.durable,
    )
