"""The tables of the journal, as SQL: pure text, one script for each version.

A file says in ``user_version`` how many of the scripts it has seen. A script that was released is
never changed; what comes later is a script of its own.
"""

from __future__ import annotations

__all__ = ["APPLICATION_ID", "MIGRATIONS", "VERSION"]

APPLICATION_ID = 0x4272616D
"""``Bram``: tells a journal from any other SQLite file."""

_TABLES = """
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, and ascending as committed
    source     TEXT    NOT NULL,
    scope      TEXT,
    connection TEXT    NOT NULL,
    event      TEXT    NOT NULL,
    at         INTEGER NOT NULL,                   -- microseconds since 1970
    epoch      INTEGER NOT NULL,
    seq        INTEGER,                            -- of critical events, without a gap
    event_id   TEXT    NOT NULL,
    body       TEXT    NOT NULL                    -- the whole event as JSON
) STRICT;
CREATE INDEX events_at ON events (at);

-- Where the numbers of a connection go on when its process starts again.
CREATE TABLE heads (
    source     TEXT    NOT NULL,
    scope      TEXT    NOT NULL,                   -- '' for none: a key may not hold NULL
    connection TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    PRIMARY KEY (source, scope, connection)
) STRICT, WITHOUT ROWID;

-- The processes that write, one row for each place. `written` counts what the present one has
-- appended, so that an append whose answer was lost is not made twice.
CREATE TABLE sources (
    source  TEXT    PRIMARY KEY,
    owner   TEXT,
    written INTEGER NOT NULL DEFAULT 0,
    clean   INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Durable subscriptions: all up to `position` is acknowledged, all up to `handed` was given out.
CREATE TABLE durables (
    name     TEXT    PRIMARY KEY,
    owner    TEXT,
    position INTEGER NOT NULL,
    handed   INTEGER NOT NULL,
    n        INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What retention has removed; the only way for a row to leave.
CREATE TABLE retention (
    through INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    reason  TEXT    NOT NULL
) STRICT;
INSERT INTO retention VALUES (0, 0, 0, 'the beginning');

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: an event cannot be changed');
END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
WHEN OLD.id > (SELECT max(through) FROM retention)
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: only its retention removes events');
END;
-- INSERT OR REPLACE would be a change by another name.
CREATE TRIGGER events_are_never_replaced BEFORE INSERT ON events
WHEN NEW.id > 0 AND EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: an event cannot be replaced');
END;
CREATE TRIGGER retention_is_never_changed BEFORE UPDATE ON retention
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: what retention did cannot be changed');
END;
CREATE TRIGGER retention_is_never_deleted BEFORE DELETE ON retention
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: what retention did cannot be deleted');
END;
"""

# A refused change leaves a trace: RAISE(FAIL) keeps what the trigger has written before it.
_REFUSALS = """
CREATE TABLE refusals (
    at     INTEGER NOT NULL,
    what   TEXT    NOT NULL,
    events INTEGER NOT NULL
) STRICT;

DROP TRIGGER events_are_never_changed;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN
    INSERT INTO refusals VALUES (unixepoch() * 1000000, 'UPDATE', OLD.id);
    SELECT RAISE(FAIL, 'the journal is append-only: an event cannot be changed');
END;
DROP TRIGGER events_are_never_deleted;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
WHEN OLD.id > (SELECT max(through) FROM retention)
BEGIN
    INSERT INTO refusals VALUES (unixepoch() * 1000000, 'DELETE', OLD.id);
    SELECT RAISE(FAIL, 'the journal is append-only: only its retention removes events');
END;
CREATE TRIGGER refusals_are_never_changed BEFORE UPDATE ON refusals
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: a refusal cannot be changed');
END;
CREATE TRIGGER refusals_are_never_deleted BEFORE DELETE ON refusals
BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only: a refusal cannot be deleted');
END;
"""

# The microsecond of now, as exactly as every SQLite knows it.
_NOW = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
_END = "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events')"


def _refuse(trigger: str, when: str, table: str, what: str, row: str, text: str) -> str:
    """A trigger that refuses `what`, and puts the attempt on the trail.

    RAISE(FAIL) keeps what the trigger has written before it.
    """
    return f"""
CREATE TRIGGER {trigger} BEFORE {what.replace("REPLACE", "INSERT")} ON {table} {when}
BEGIN
    INSERT INTO trail (at, entry, subject, first, last, position, data)
    VALUES ({_NOW}, 'change_refused', '{table}', {row}, {row}, {_END},
            json_object('attempt', '{what}'));
    SELECT RAISE(FAIL, 'the journal is append-only: {text}');
END;
"""


def _tell(table: str, of: str) -> str:
    """A trigger that puts what retention has removed on the trail.

    Unless the entry before it says so already: who removes tells it himself, with his name. An
    earlier release, which may still be at work on the file, does not know the trail.
    """
    return f"""
CREATE TRIGGER {table}_is_told AFTER INSERT ON {table}
WHEN NOT EXISTS (SELECT 1 FROM trail WHERE id = (SELECT max(id) FROM trail)
    AND entry = 'retention_ran' AND subject = '{of}' AND last = NEW.through)
BEGIN
    INSERT INTO trail (at, entry, subject, first, last, position, data)
    VALUES (NEW.at, 'retention_ran', '{of}',
            NEW.through - NEW.removed + 1, NEW.through, {_END},
            json_object('removed', NEW.removed, 'reason', NEW.reason));
END;
"""


# What happened around the events: who has ordered, subscribed, got, tried to change what. No table
# that was there gets a column: a process of an earlier release may have the file open and write on.
_TRAIL = f"""
CREATE TABLE trail (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,                   -- microseconds since 1970
    entry      TEXT    NOT NULL,
    source     TEXT,                               -- the writer's place; NULL for the file itself
    process    INTEGER,
    person     TEXT,                               -- on whose behalf, if somebody has said so
    subject    TEXT,
    scope      TEXT,
    connection TEXT,
    event_id   TEXT,
    first      INTEGER,                            -- the rows that it is about
    last       INTEGER,
    position   INTEGER NOT NULL,                   -- the last row of events when it was written
    data       TEXT    NOT NULL                    -- JSON
) STRICT;
CREATE INDEX trail_at ON trail (at);

CREATE TABLE trail_retention (
    through INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    reason  TEXT    NOT NULL
) STRICT;
INSERT INTO trail_retention VALUES (0, 0, 0, 'the beginning');

DROP TRIGGER events_are_never_changed;
DROP TRIGGER events_are_never_deleted;
DROP TRIGGER events_are_never_replaced;
DROP TRIGGER retention_is_never_changed;
DROP TRIGGER retention_is_never_deleted;
INSERT INTO trail (at, entry, subject, first, last, position, data)
    SELECT at, 'change_refused', 'events', events, events, {_END}, json_object('attempt', what)
    FROM refusals;
DROP TABLE refusals;
INSERT INTO trail (at, entry, subject, first, last, position, data)
    SELECT at, 'retention_ran', 'events', through - removed + 1, through, {_END},
           json_object('removed', removed, 'reason', reason)
    FROM retention WHERE through > 0;
""" + "".join(
    (
        _refuse("events_are_never_changed", "", "events", "UPDATE", "OLD.id",
                "an event cannot be changed"),
        _refuse("events_are_never_deleted", "WHEN OLD.id > (SELECT max(through) FROM retention)",
                "events", "DELETE", "OLD.id", "only its retention removes events"),
        # INSERT OR REPLACE would be a change by another name, and a number of one that is gone
        # would be another past.
        _refuse("events_are_never_replaced", f"WHEN NEW.id > 0 AND NEW.id <= {_END}",
                "events", "REPLACE", "NEW.id", "an event cannot be replaced"),
        _refuse("trail_is_never_changed", "", "trail", "UPDATE", "OLD.id",
                "an entry of the trail cannot be changed"),
        _refuse("trail_is_never_deleted",
                "WHEN OLD.id > (SELECT max(through) FROM trail_retention)",
                "trail", "DELETE", "OLD.id", "only its retention removes entries of the trail"),
        _refuse("trail_is_never_replaced",
                "WHEN NEW.id > 0 AND NEW.id <= "
                "(SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'trail')",
                "trail", "REPLACE", "NEW.id", "an entry of the trail cannot be replaced"),
        *(
            _refuse(f"{table}_is_never_{done}", when, table, what, row,
                    f"what retention did cannot be {done}")
            for table in ("retention", "trail_retention")
            for done, when, what, row in (
                ("changed", "", "UPDATE", "OLD.through"),
                # Only the last one counts; what it replaces is on the trail.
                ("deleted", f"WHEN OLD.through = (SELECT max(through) FROM {table})",
                 "DELETE", "OLD.through"),
                ("replaced", f"WHEN NEW.through <= (SELECT max(through) FROM {table})",
                 "REPLACE", "NEW.through"),
            )
        ),
        _tell("retention", "events"),
        _tell("trail_retention", "trail"),
    )
)  # fmt: skip

MIGRATIONS = (_TABLES, _REFUSALS, _TRAIL)
VERSION = len(MIGRATIONS)
