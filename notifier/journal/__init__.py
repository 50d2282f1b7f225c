"""The journal: an append-only store of events in one SQLite file, off by default.

    >>> system = brama.System(brama.Settings(journal="sqlite:////var/lib/shop/events.sqlite"))
    >>> system.subscribe(page, events=["circuit_opened"], durable="pager")
    >>> for event in system.replay(since=yesterday):
    ...     print(event.timestamp, event.connection, event.event)

Several processes of a service may share the file. What one has appended survives its sudden end;
rows are never changed, and only retention removes any. A guarded call never waits for it.

The parts: the `Intake` queues what was published, the `Store` (an actor on a thread of its own)
appends it to the `JournalFile` and feeds the durable subscriptions by their `Follower`; the
`Journal` holds them together and belongs to the system. `schema`, `rows` and `retention` are pure.
"""

from .appending import finish
from .connection import connect_readonly, described
from .entries import ENTRIES, Entry, EntryKind
from .errors import JournalDamagedError, JournalError, JournalForeignError, JournalGoneError
from .feeding import order
from .file import stored
from .follower import Follower
from .intake import JOURNALED, Intake
from .journal import Journal, JournalStatus, Tap
from .options import JournalOptions
from .replay import Replay
from .rows import Stored, microseconds
from .store import Store
from .trail import Trail
from .verify import Finding, Report, verify

__all__ = [
    "ENTRIES",
    "JOURNALED",
    "Entry",
    "EntryKind",
    "Finding",
    "Follower",
    "Intake",
    "Journal",
    "JournalDamagedError",
    "JournalError",
    "JournalForeignError",
    "JournalGoneError",
    "JournalOptions",
    "JournalStatus",
    "Replay",
    "Report",
    "Store",
    "Stored",
    "Tap",
    "Trail",
    "connect_readonly",
    "described",
    "finish",
    "microseconds",
    "order",
    "stored",
    "verify",
]
