"""The handlers: who hears of the circuits, each of another kind and with another filter.

============  =======================  ==========================================
`Journal`     inline function          every change of state
`Pager`       function on a worker     openings and closings of payments; raises once
`Dashboard`   async, on asyncio        every change of state of search
`Ledger`      actor                    every critical event; is killed once
============  =======================  ==========================================
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import Any

import attrs
import trio

import brama.notifier
from brama.actors import ActorRef, kill
from brama.circuits import CRITICAL, Event
from brama.notifier import HandlerActor, Subscription

__all__ = ["Book", "Dashboard", "Delivery", "Handlers", "Journal", "Ledger", "Pager", "Tail"]

_LONG_WRITE = 3.0
"""Seconds that the ledger's write takes when it is to be killed in the middle of it."""


@attrs.frozen
class Delivery:
    """One event as one subscriber received it.

    `at` in seconds on the monotonic clock; `outcome` is empty, or says what went wrong.
    """

    at: float
    subscriber: str
    event: Event
    outcome: str = ""


class Tail:
    """All deliveries in the order in which they were made. Threads: any."""

    def __init__(self) -> None:
        self._deliveries: list[Delivery] = []  # Invariant: it only grows, by appends

    def add(self, subscriber: str, event: Event, outcome: str = "") -> None:
        self._deliveries.append(Delivery(time.monotonic(), subscriber, event, outcome))

    def since(self, index: int) -> list[Delivery]:
        """The deliveries from number `index` on."""
        return self._deliveries[index:]


class Journal:
    """Notes every change of state; it never blocks, so it may run on Brama's own loop."""

    def __init__(self, tail: Tail) -> None:
        self.events: list[Event] = []
        self._tail = tail

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._tail.add("Journal", event)


class Pager:
    """Tells a person. Its line is cut at the first opening: Brama gives it that event again."""

    def __init__(self, tail: Tail) -> None:
        self.events: list[Event] = []
        self.failed: Event | None = None
        self._tail = tail

    def __call__(self, event: Event) -> None:
        if self.failed is None and event.event == "circuit_opened":
            self.failed = event
            self._tail.add("Pager", event, "raised ConnectionResetError")
            raise ConnectionResetError("the pager's line was cut")
        self.events.append(event)
        self._tail.add("Pager", event)


class Dashboard:
    """Shows the search. Async: it runs on the loop that it was subscribed from."""

    def __init__(self, tail: Tail) -> None:
        self.events: list[Event] = []
        self.home: int | None = None
        self.threads: set[int] = set()
        self._tail = tail

    async def __call__(self, event: Event) -> None:
        self.threads.add(threading.get_ident())
        self.events.append(event)
        self._tail.add("Dashboard", event)


class Book:
    """What the ledger writes into. It outlives the ledger, as a database would.

    Threads: the ledger writes on Brama's loop; `condemn` and `strike` are the script's.
    """

    def __init__(self, tail: Tail) -> None:
        self.entries: list[Event] = []
        self.openings = 0
        self.writer: ActorRef[Any] | None = None
        self.interrupted: Event | None = None
        self._condemned = False
        self._struck = False
        self._tail = tail

    async def write(self, event: Event) -> None:
        if self._condemned and self.interrupted is None:
            # A usual write is over before the script could look: this one waits to be killed.
            self.interrupted = event
            await trio.sleep(_LONG_WRITE)
        self.entries.append(event)
        self._tail.add("Ledger", event)

    def condemn(self) -> None:
        """Have the next write take so long that the ledger can be killed in it."""
        self._condemned = True

    def strike(self) -> bool:
        """Kill the ledger if it is in the middle of that write; whether it was done just now."""
        if self._struck or self.interrupted is None or self.writer is None:
            return False
        self._struck = True
        self._tail.add("Ledger", self.interrupted, "killed")
        kill(self.writer)
        return True


class Ledger(HandlerActor):
    """Writes every critical event into the book, one after the other."""

    def __init__(self, book: Book) -> None:
        super().__init__()
        self._book = book

    async def on_start(self) -> None:
        await super().on_start()
        self._book.writer = self.actor_ref
        self._book.openings += 1

    async def on_event(self, event: Event) -> None:
        await self._book.write(event)


class Handlers:
    """The four handlers and their subscriptions in one system."""

    def __init__(self, system: brama.System, scope: str) -> None:
        self.tail = Tail()
        self.journal = Journal(self.tail)
        self.pager = Pager(self.tail)
        self.dashboard = Dashboard(self.tail)
        self.book = Book(self.tail)
        self._system = system
        self._scope = scope
        self.subscriptions: dict[str, Subscription] = {
            "Journal": system.subscribe(
                brama.notifier.inline(self.journal), events=["state_change"], scope=scope
            ),
            "Pager": system.subscribe(
                self.pager,
                events=["circuit_opened", "circuit_closed"],
                connection="payments",
                scope=scope,
            ),
            "Ledger": system.subscribe(
                partial(Ledger, self.book), events=sorted(CRITICAL), scope=scope
            ),
        }

    def subscribe_dashboard(self) -> None:
        """To be called on the asyncio loop: where an async handler is subscribed, it runs."""
        self.dashboard.home = threading.get_ident()
        subscription = self._system.subscribe(
            self.dashboard, events=["state_change"], connection="search", scope=self._scope
        )
        # Replaced, not changed: the view reads it meanwhile.
        self.subscriptions = {**self.subscriptions, "Dashboard": subscription}

    def idle(self) -> bool:
        """Whether nothing waits for any handler."""
        return all(one.queued == 0 for one in self.subscriptions.values())
