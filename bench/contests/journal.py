"""The journal: one event at a time until the disk has it, and as many as there are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import brama
from bench.contest import WALL, Contender, Contest, Scale, WorkNotDone, agree
from brama.circuits import Event, Fields, Severity, State
from brama.notifier import Journal, JournalOptions

__all__ = ["JOURNAL"]

PATIENCE = 60.0
BURST = 5_000


class Writing:
    """A started system with a journal, and events that are put into it."""

    def __init__(self, system: brama.System) -> None:
        journal = system.journal
        if journal is None:
            raise WorkNotDone("the system has no journal")
        self._journal: Journal = journal
        self._put = 0
        self._before = journal.status().appended

    def burst(self, times: int) -> None:
        """Put so many at once and wait until all are in the file."""
        for _ in range(times):
            self._journal.intake.put(self._event())
        self._wait()

    def single(self, times: int) -> None:
        """Put one, wait until it is in the file, put the next."""
        for _ in range(times):
            self._journal.intake.put(self._event())
            self._wait()

    def done(self) -> int:
        appended = self._journal.status().appended - self._before
        return agree("events", put=self._put, appended=appended)

    def _wait(self) -> None:
        if not self._journal.wait(PATIENCE):
            raise WorkNotDone(f"the journal has not appended within {PATIENCE:g} s")

    def _event(self) -> Event:
        self._put += 1
        return Event(
            event="state_change",
            connection="bench",
            scope=None,
            timestamp=datetime.now(UTC),
            monotonic=time.monotonic(),
            epoch=1,
            seq=self._put,
            event_id=f"bench-1-{self._put}",
            severity=Severity.ERROR,
            data=Fields(
                previous_state=State.CLOSED,
                new_state=State.OPEN,
                reason="TimeoutError: no answer",
                failure_count=5,
                generation=2,
                retry_after=30.0,
            ),
        )


@contextmanager
def _writings(size: int | None) -> Generator[list[Contender], None, None]:
    """With the disk's confirmation, as by default, and beside it without."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="brama-bench-")))
        contenders: list[Contender] = []
        for name, sync in (("brama", "critical"), ("no fsync", "never")):
            options = JournalOptions(folder / f"{sync}.sqlite", sync=sync, backlog=2 * BURST)
            system = stack.enter_context(brama.System(brama.Settings(journal=options)))
            writing = Writing(system)
            run = writing.single if size is None else writing.burst
            contenders.append(Contender(name, run, writing.done, times=size))
        yield contenders


@contextmanager
def burst(_scale: Scale) -> Generator[list[Contender], None, None]:
    with _writings(BURST) as contenders:
        yield contenders


@contextmanager
def single(_scale: Scale) -> Generator[list[Contender], None, None]:
    with _writings(None) as contenders:
        yield contenders


JOURNAL = (
    Contest("journal", "events into the journal, 5 000 at once", burst, unit="/s", clock=WALL),
    Contest("journal-append", "one event until it is in the journal", single, "us", clock=WALL),
)
