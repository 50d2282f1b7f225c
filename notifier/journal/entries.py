"""The entries of the audit trail: what kinds there are, and each as a row; pure.

`ENTRIES` is the only list of them; the documentation is made from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any

import attrs

from brama.circuits import is_glob, matcher
from brama.telemetry import ConfigError, unknown

if TYPE_CHECKING:
    import sqlite3

__all__ = [
    "COLUMNS",
    "ENTRIES",
    "Entry",
    "EntryKind",
    "check_entries",
    "holds",
    "plain",
    "read",
    "spans",
    "write",
]

LONGEST = 2_000
"""Characters of a text in `Entry.data`: a reason may be a whole page of somebody's server."""


@attrs.frozen
class EntryKind:
    """One row of the list of entries.

    Attributes:
        name: the name to ask for.
        when: what has happened, as a clause.
        subject: what `Entry.subject` names.
        data: the keys of `Entry.data`; one that does not apply is left out.
    """

    name: str
    when: str
    subject: str
    data: tuple[str, ...] = ()


_KINDS = (
    EntryKind(
        "journal_begun",
        "the file was lost or damaged, and a new one begun",
        "the file",
        ("reason", "aside"),
    ),
    EntryKind("schema_migrated", "the tables were made, or brought up to date", "", ("old", "new")),
    EntryKind(
        "writer_joined",
        "a system began to write",
        "its place, the `source` of its events",
        ("host", "program", "clean", "rules"),
    ),
    EntryKind("writer_left", "a system has ended", "its place", ("clean",)),
    EntryKind(
        "order_given",
        "somebody has ordered something of a circuit, a group or the system",
        "the order: `open_circuit`, `close_circuit`, `configure`, …",
        ("reason", "options"),
    ),
    EntryKind(
        "subscribed",
        "a subscription began",
        "the subscription",
        ("handler", "durable", "options"),
    ),
    EntryKind(
        "unsubscribed",
        "a subscription has ended",
        "the subscription",
        ("handler", "durable", "state", "why", "left", "delivered", "failures", "dropped"),
    ),
    EntryKind(
        "resumed",
        "this process delivers to a durable subscription now; `first` to `last` may come again",
        "the durable name",
        ("position", "delivered"),
    ),
    EntryKind(
        "delivered",
        "a durable subscription has acknowledged",
        "the durable name",
        ("ids", "count", "tries", "redelivered"),
    ),
    EntryKind(
        "filtered",
        "the filter of a durable subscription did not want them",
        "the durable name",
        ("ids", "count"),
    ),
    EntryKind(
        "delivery_failed",
        "a handler has raised over an event",
        "the subscription or durable name",
        ("event", "handler", "durable", "tries", "error", "again"),
    ),
    EntryKind(
        "dead_letter",
        "an event was given up",
        "the subscription or durable name",
        ("event", "handler", "durable", "tries", "error"),
    ),
    EntryKind(
        "events_lost",
        "a subscription has lost events otherwise",
        "the subscription or durable name",
        ("handler", "durable", "count", "why"),
    ),
    EntryKind("position_forgotten", "`forget` was called", "the durable name", ("position",)),
    EntryKind(
        "retention_ran",
        "what was too old or too much was removed",
        "`events` or `trail`",
        ("removed", "reason"),
    ),
    EntryKind(
        "change_refused",
        "somebody has tried to change, delete or replace a row",
        "the table",
        ("attempt",),
    ),
    EntryKind("trail_gap", "entries before this one were lost", "", ("lost",)),
)

ENTRIES: Mapping[str, EntryKind] = {kind.name: kind for kind in _KINDS}
"""Every kind of entry by its name."""

_1970 = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class Entry:
    """One entry of the audit trail: a frozen value.

    Attributes:
        entry: the kind, a key of `ENTRIES`.
        at: when, in microseconds since 1970.
        source: the place of the writer, the same as in its events; None for the file itself.
        process: its process id.
        by: on whose behalf, if somebody has said so; see `brama.acting_as`.
        subject: what `ENTRIES` says for the kind.
        scope, connection: of the connection that it is about, if it is.
        event_id: of the event that it is about, if it is one.
        first, last: the rows of the file that it is about, both included.
        data: what `ENTRIES` documents for the kind.
        id: its row; 0 before it is in the file. Ascending as written.
        position: the last row of the events when it was written.
    """

    entry: str
    at: int
    source: str | None = None
    process: int | None = None
    by: str | None = None
    subject: str | None = None
    scope: str | None = None
    connection: str | None = None
    event_id: str | None = None
    first: int | None = None
    last: int | None = None
    data: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    id: int = 0
    position: int = 0

    @property
    def timestamp(self) -> datetime:
        """`at`, in UTC."""
        return _1970 + timedelta(microseconds=self.at)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the time as ISO 8601."""
        fields = attrs.asdict(self, recurse=False)
        fields["data"] = dict(self.data)
        del fields["at"]
        time = self.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"id": fields.pop("id"), "timestamp": time, **fields}

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))


INSERT = (
    "INSERT INTO trail (at, entry, source, process, person, subject, scope, connection, event_id, "
    "first, last, position, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

COLUMNS = (
    "id, at, entry, source, process, person, subject, scope, connection, event_id, first, last, "
    "position, data"
)


def write(db: sqlite3.Connection, source: str | None, entries: Iterable[tuple[Entry, int]]) -> None:
    """Append entries, each with its position, in the transaction that is open."""
    db.executemany(INSERT, [_row(entry, entry.source or source, at) for entry, at in entries])


def _row(entry: Entry, source: str | None, position: int) -> tuple[Any, ...]:
    return (
        entry.at,
        entry.entry,
        source,
        entry.process,
        entry.by,
        entry.subject,
        entry.scope,
        entry.connection,
        entry.event_id,
        entry.first,
        entry.last,
        position,
        json.dumps(entry.data, ensure_ascii=False, separators=(",", ":")),
    )


def read(row: Sequence[Any]) -> Entry:
    """The entry of a row with `COLUMNS`."""
    (
        id, at, entry, source, process, person, subject, scope, connection, event_id, first, last,
        position, data,
    ) = row  # fmt: skip
    return Entry(
        id=id,
        at=at,
        entry=entry,
        source=source,
        process=process,
        by=person,
        subject=subject,
        scope=scope,
        connection=connection,
        event_id=event_id,
        first=first,
        last=last,
        position=position,
        data=json.loads(data),
    )


def plain(value: Any) -> Any:
    """`value` as JSON can carry it: what has no form of its own there, as its ``repr``."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, str):
        # A lone half of a character cannot be written; SQLite and JSON both want UTF-8.
        return value.encode("utf-8", "replace").decode()[:LONGEST]
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    try:
        return plain(repr(value))
    except Exception:  # noqa: BLE001 - the user's
        return f"<{type(value).__name__}>"


def spans(ids: Sequence[int]) -> str | None:
    """Ascending `ids` in short, ``7-9,12``; None if none is missing between the first and last."""
    if ids[-1] - ids[0] + 1 == len(ids):
        return None
    runs: list[list[int]] = []
    for id in ids:
        if runs and id == runs[-1][1] + 1:
            runs[-1][1] = id
        else:
            runs.append([id, id])
    return ",".join(str(one) if one == end else f"{one}-{end}" for one, end in runs)


def holds(text: str | None, id: int) -> bool:
    """Whether `id` is among those that `spans` has made short; None holds all of a range."""
    if text is None:
        return True
    for run in text.split(","):
        one, _, end = run.partition("-")
        if int(one) <= id <= int(end or one):
            return True
    return False


def check_entries(entries: Iterable[str] | None) -> tuple[str, ...] | None:
    """`entries` as known names, each wildcard replaced by what it stands for; None is all.

    Raises:
        ConfigError: not a list of names, an empty one, or a name or wildcard that fits none.
    """
    if entries is None:
        return None
    if isinstance(entries, str):
        raise ConfigError("entries", "a list of names", entries, hint=f"Write [{entries!r}].")
    try:
        given: list[Any] = list(entries)
    except TypeError:
        raise ConfigError("entries", "a list of names", entries) from None
    names: dict[str, None] = {}
    for one in given:
        found = [one] if one in ENTRIES else []
        if isinstance(one, str) and is_glob(one):
            found = [name for name in ENTRIES if matcher(one)(name)]
        if not found:
            raise unknown("an entry of the trail", one, tuple(ENTRIES))
        names.update(dict.fromkeys(found))
    if not names:
        raise ConfigError("entries", "a list with at least one name", entries)
    return tuple(names)
