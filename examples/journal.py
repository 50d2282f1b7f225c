"""Tell a handler, when it is back, what has happened while it was away.

A service is started three times with the same journal, a file. The first time a pager listens; the
second time nobody does, and the payment provider goes down and comes back; the third time the pager
gets first, and in order, what it has missed.

    python examples/journal.py
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import brama


@contextmanager
def service(journal: Path) -> Generator[brama.System]:
    """One life of the service; the end of the block is the end of its process."""
    with brama.System(brama.Settings(failure_threshold=1), journal=journal) as system:
        yield system


class Pager:
    """Prints what it is told, and knows when it has heard all of it."""

    def __init__(self, *awaited: str) -> None:
        self.awaited = list(awaited)
        self.heard = threading.Event()

    def page(self, event: brama.Event) -> None:
        print(f"  page {event.seq}: {event.connection} {event.event}, {event.data['reason']}")
        self.awaited.remove(event.event)
        if not self.awaited:
            self.heard.set()

    def listen(self, system: brama.System) -> None:
        """Subscribe under a name: the journal keeps how far the handler has come."""
        system.subscribe(self.page, events=["circuit_opened", "circuit_closed"], durable="pager")


def main() -> None:
    with TemporaryDirectory() as folder:
        journal = Path(folder) / "events.sqlite"

        print("the pager listens")
        with service(journal) as system:
            pager = Pager("circuit_opened")
            pager.listen(system)
            system.circuit("payments").failure("connection refused")
            pager.heard.wait(timeout=5)

        print("nobody listens")
        with service(journal) as system:
            payments = system.circuit("payments")
            payments.failure("HTTP 503")
            payments.close_circuit("the provider has apologised")

        print("the pager is back")
        with service(journal) as system:
            pager = Pager("circuit_opened", "circuit_closed")
            pager.listen(system)
            pager.heard.wait(timeout=5)

            last_hour = system.replay(since=timedelta(hours=1), events=["circuit_opened"])
            print("opened in the last hour:", [event.data["reason"] for event in last_hour])


if __name__ == "__main__":
    main()
