"""Whether a journal is whole: what ``brama events verify`` looks at."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from brama.circuits import Event, EventFormatError

from ..numbers import Numbers
from .connection import close, connect_readonly, described, has_trail
from .file import stored
from .rows import Stored

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Finding", "Report", "Sequences", "verify"]

PAGE = 1_000
MOST = 100
"""Findings that are named one by one."""


@attrs.frozen
class Finding:
    """Something that should not be.

    Attributes:
        kind: ``damage``, ``missing_row``, ``unreadable``, ``missing_number``,
            ``repeated_number``.
        where: id of the row, 0 for the file itself.
        text: what it is, for people.
    """

    kind: str
    where: int
    text: str


@attrs.frozen
class Report:
    """What `verify` has seen.

    Attributes:
        events: rows that are there.
        connections: how many connections they are about.
        sources: how many processes wrote them.
        removed: rows that retention has removed.
        told: events that are missing, and a ``gap`` event says so.
        refusals: attempts to change the file, which it refused.
        findings: what should not be; at most a hundred.
        counts: of all findings, by kind.
    """

    events: int
    connections: int
    sources: int
    removed: int
    told: int
    refusals: int
    findings: tuple[Finding, ...]
    counts: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether the journal is whole."""
        return not self.counts


class Sequences:
    """Follows the numbers of critical events, connection by connection; pure.

    Args:
        whole: the first event that is seen is the first that ever was.
    """

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole
        self._numbers = Numbers()
        self._gaps: dict[str, int] = {}  # row of the last one, by source
        self._rows: dict[tuple[str, str | None, str], int] = {}
        self.told = 0

    @property
    def connections(self) -> int:
        """How many have been seen."""
        return len({key[1:] for key in self._rows})

    def see(self, id: int, event: Event) -> Finding | None:
        """Look at the next event; what is wrong with its number."""
        if event.event == "gap":
            self._gaps[event.source] = id
            self.told += int(event.data.get("lost", 0))
        if event.seq is None:
            return None
        step = self._numbers.follow(event)
        key = (event.source, event.scope, event.connection)
        row, self._rows[key] = self._rows.get(key, 0), id
        name = event.connection if event.scope is None else f"{event.scope}/{event.connection}"
        who = f"{name} of {event.source}, epoch {event.epoch}, number {event.seq}"
        if step.behind:
            return Finding("repeated_number", id, f"{who}: it, or a later one, was there before")
        told = self._gaps.get(event.source, 0) > row
        if not step.missing or told or (step.first and not self._whole):
            return None
        return Finding("missing_number", id, f"{who}: the {step.missing} before it are missing")


def _read(row: Stored) -> Event:
    """The event of a row, whose columns must say the same. Raises `EventFormatError`."""
    event = row.read()
    columns = (row.event, row.connection, row.scope)
    if (event.event, event.connection, event.scope) != columns:
        raise EventFormatError("", f"that of its row, {columns}", event.event)
    return event


def _refusals(db: sqlite3.Connection) -> int:
    asked = "SELECT count(*) FROM trail WHERE entry = 'change_refused'"
    if not has_trail(db):  # a file of an earlier release, which no writer has brought up to date
        table = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'refusals'").fetchone()
        asked = "SELECT 0" if table is None else "SELECT count(*) FROM refusals"
    return int(db.execute(asked).fetchone()[0])


def verify(path: Path) -> Report:
    """Read a whole journal and look for what should not be.

    Raises:
        JournalError: there is none, or it cannot be read at all.
    """
    found: list[Finding] = []
    counts: Counter[str] = Counter()

    def find(finding: Finding | None) -> None:
        if finding is not None:
            counts[finding.kind] += 1
            if len(found) < MOST:
                found.append(finding)

    with described(path):
        db = connect_readonly(path)
        try:
            for (text,) in db.execute("PRAGMA integrity_check"):
                if text != "ok":
                    find(Finding("damage", 0, text))
            removed = int(db.execute("SELECT max(through) FROM retention").fetchone()[0])
            refusals = _refusals(db)
            sequences = Sequences(whole=removed == 0)
            sources: set[str] = set()
            events, last = 0, removed
            while rows := stored(db, "WHERE id > ? ORDER BY id LIMIT ?", (last, PAGE)):
                for row in rows:
                    if row.id != last + 1:
                        lost = f"{last + 1} to {row.id - 1}"
                        find(Finding("missing_row", row.id, f"rows {lost} are missing"))
                    last = row.id
                    events += 1
                    try:
                        event = _read(row)
                    except EventFormatError as error:
                        find(Finding("unreadable", row.id, str(error)))
                    else:
                        sources.add(event.source)
                        find(sequences.see(row.id, event))
        finally:
            close(db)
    return Report(
        events=events,
        connections=sequences.connections,
        sources=len(sources),
        removed=removed,
        told=sequences.told,
        refusals=refusals,
        findings=tuple(found),
        counts=dict(counts),
    )
