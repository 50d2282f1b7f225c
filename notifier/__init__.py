"""The notifier: tells the right handlers when a connection changes state.

Subscribe a function of one event, and say what it is about; all that is given must match:

    >>> import brama
    >>> def page(event: brama.Event) -> None:
    ...     print(event.connection, event.data["new_state"], event.data["reason"])
    >>> subscription = brama.subscribe(page, events=["circuit_opened"], scope="payments")
    >>> subscription.close()
    True

Where a handler runs follows from what it is: a plain function on a worker thread, an ``async def``
    on the loop it was subscribed from, `inline` on Brama's own loop, a `HandlerActor` as an actor
    of its own. Each has a queue and a supervisor to itself: a handler that crashes or is slow
    touches no other. The kinds of events are listed in `brama.circuits.EVENTS`.
"""

from brama.circuits import EVENTS, Event, EventFormatError, Severity

from . import cloudevents
from .alarms import alarm
from .errors import SubscriptionClosed
from .event_schema import event_schema
from .handler_actor import HandlerActor
from .index import Index
from .inline import inline
from .journal import (
    ENTRIES,
    Entry,
    EntryKind,
    Journal,
    JournalDamagedError,
    JournalError,
    JournalForeignError,
    JournalGoneError,
    JournalOptions,
    JournalStatus,
    Replay,
    Store,
    Trail,
    finish,
    verify,
)
from .options import Choosing, Options, Subscribing
from .receiver import Received, Receiver
from .registry import Registry, keep
from .status import SubscriptionStatus
from .stream import EventStream
from .subscription import Subscription
from .subscriptions import Subscribers, Subscriptions

__all__ = [
    "ENTRIES",
    "EVENTS",
    "Choosing",
    "Entry",
    "EntryKind",
    "Event",
    "EventFormatError",
    "EventStream",
    "HandlerActor",
    "Index",
    "Journal",
    "JournalDamagedError",
    "JournalError",
    "JournalForeignError",
    "JournalGoneError",
    "JournalOptions",
    "JournalStatus",
    "Options",
    "Received",
    "Receiver",
    "Registry",
    "Replay",
    "Severity",
    "Store",
    "Subscribers",
    "Subscribing",
    "Subscription",
    "SubscriptionClosed",
    "SubscriptionStatus",
    "Subscriptions",
    "Trail",
    "alarm",
    "cloudevents",
    "event_schema",
    "finish",
    "inline",
    "keep",
    "verify",
]
