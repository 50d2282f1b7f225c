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

MIGRATIONS = (_TABLES, _REFUSALS)
VERSION = len(MIGRATIONS)
