"""A journal for one test, and events to put into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import brama
from brama.circuits import Event, Fields, Severity, State
from brama.notifier import JournalOptions
from brama.notifier.journal.entries import Entry
from brama.notifier.journal.file import JournalFile
from brama.notifier.journal.owners import Owner

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def make_event(number: int, *, connection: str = "search", **fields: object) -> Event:
    """The `number`-th critical event of a connection."""
    values: dict[str, object] = {
        "event": "state_change",
        "connection": connection,
        "scope": None,
        "timestamp": START + timedelta(seconds=number),
        "monotonic": float(number),
        "epoch": 7,
        "seq": number,
        "event_id": f"run-7-{connection}-{number}",
        "severity": Severity.ERROR,
        "data": Fields(
            previous_state=State.CLOSED,
            new_state=State.OPEN,
            reason=f"reason {number}",
            failure_count=1,
            generation=number,
            retry_after=1.0,
        ),
        "source": "brama-1",
    }
    return Event(**(values | fields))  # type: ignore[arg-type]


class Writer:
    """A place among the writers of a file, as the store has it."""

    def __init__(self, options: JournalOptions) -> None:
        self.file = JournalFile(options)
        self.owner = Owner(options.path)
        self.claim = self.file.claim(self.owner)
        self.written = 0

    def append(self, *items: Event | Entry) -> int:
        ids = self.file.append(self.claim.source, self.owner, self.written, items)
        self.written += len(items)
        return ids[-1] if ids else 0

    def close(self) -> None:
        self.file.close()
        self.owner.release()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def options(path: Path) -> JournalOptions:
    return JournalOptions(path, busy_timeout=0.2)


@pytest.fixture
def writers() -> Iterator[Callable[[JournalOptions], Writer]]:
    made: list[Writer] = []

    def make(options: JournalOptions) -> Writer:
        made.append(Writer(options))
        return made[-1]

    yield make
    for writer in made:
        writer.close()


@pytest.fixture
def writer(options: JournalOptions, writers: Callable[[JournalOptions], Writer]) -> Writer:
    return writers(options)


@pytest.fixture
def systems(path: Path) -> Iterator[Callable[..., brama.System]]:
    """Makes systems that share one journal."""
    made: list[brama.System] = []

    def make(**rules: object) -> brama.System:
        rules = {"busy_timeout": 0.2, "poll_interval": 0.02, **rules}
        options = JournalOptions(path, **rules)  # type: ignore[arg-type]
        made.append(brama.System(brama.Settings(journal=options, failure_threshold=1)))
        return made[-1]

    yield make
    for system in made:
        system.stop()


@pytest.fixture(name="event")
def _event() -> Callable[..., Event]:
    return make_event
