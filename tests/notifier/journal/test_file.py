"""The file: what is in it stays as it is, and several writers share it."""

from __future__ import annotations

import sqlite3
import time
from datetime import timedelta

import attrs
import pytest

from brama.notifier import (
    JournalDamagedError,
    JournalError,
    JournalForeignError,
    JournalGoneError,
    Trail,
)
from brama.notifier.journal.connection import connect
from brama.notifier.journal.folder import clear_leftovers
from brama.notifier.journal.removal import extent, remove
from brama.notifier.journal.retention import plan
from brama.notifier.journal.schema import MIGRATIONS, VERSION

requirement = pytest.mark.requirement


def test_what_was_appended_is_read_in_order(writer, event):
    events = [event(number) for number in range(1, 11)]
    assert writer.append(*events) == 10
    assert [row.read() for row in writer.file.read(0, 100)] == events
    assert [row.id for row in writer.file.read(4, 3)] == [5, 6, 7]


def test_an_append_that_is_made_again_is_not_made_twice(writer, event):
    writer.append(event(1), event(2))
    # Its answer was lost: the same again, with one more.
    ids = writer.file.append(writer.claim.source, writer.owner, 0, [event(1), event(2), event(3)])
    assert list(ids) == [3]
    assert [row.read().seq for row in writer.file.read(0, 10)] == [1, 2, 3]


def test_an_append_that_breaks_leaves_nothing(writer, event):
    broken = event(2)
    object.__setattr__(broken, "connection", None)  # past its own checks: the table refuses it
    with pytest.raises(JournalError, match="NOT NULL"):
        writer.append(event(1), broken)
    assert writer.file.read(0, 10) == []
    assert writer.append(event(1)) == 1


@pytest.mark.parametrize(
    ("attempt", "table", "kind", "row"),
    [
        ("UPDATE events SET connection = 'other' WHERE id = 1", "events", "UPDATE", 1),
        ("UPDATE events SET id = 9 WHERE id = 1", "events", "UPDATE", 1),
        ("DELETE FROM events WHERE id = 2", "events", "DELETE", 2),
        ("DELETE FROM events", "events", "DELETE", 1),
        ("INSERT OR REPLACE INTO events SELECT * FROM events WHERE id = 1", "events", "REPLACE", 1),
        ("REPLACE INTO events SELECT * FROM events WHERE id = 1", "events", "REPLACE", 1),
        ("UPDATE OR REPLACE events SET id = 3 WHERE id = 1", "events", "UPDATE", 1),
        ("UPDATE trail SET person = 'nobody' WHERE id = 1", "trail", "UPDATE", 1),
        ("DELETE FROM trail", "trail", "DELETE", 1),
        ("REPLACE INTO trail SELECT * FROM trail WHERE id = 1", "trail", "REPLACE", 1),
        ("UPDATE retention SET through = 99", "retention", "UPDATE", 0),
        ("DELETE FROM retention", "retention", "DELETE", 0),
        ("REPLACE INTO retention SELECT * FROM retention", "retention", "REPLACE", 0),
        ("UPDATE trail_retention SET through = 99", "trail_retention", "UPDATE", 0),
        ("DELETE FROM trail_retention", "trail_retention", "DELETE", 0),
    ],
)
@requirement("AU-01")
def test_the_store_itself_refuses_to_change_what_is_in_it(
    writer, event, path, attempt, table, kind, row
):
    writer.append(event(1), event(2), event(3))
    before = writer.file.read(0, 10), list(Trail(path))
    stranger = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        stranger.execute(attempt)
    stranger.close()
    assert writer.file.read(0, 10) == before[0]
    # The attempt itself is on record.
    *others, refused = Trail(path)
    assert others == before[1]
    assert (refused.entry, refused.subject, refused.first) == ("change_refused", table, row)
    assert dict(refused.data) == {"attempt": kind}
    assert abs(refused.timestamp.timestamp() - time.time()) < 60


def test_an_event_cannot_be_put_in_the_place_of_one_that_retention_has_removed(
    writers, options, event, path
):
    writer = writers(attrs.evolve(options, max_events=1))
    writer.append(event(1), event(2), event(3))
    remove(writer.file, plan(writer.file.options, extent(writer.file, 0.0)))
    stranger = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        stranger.execute(
            "INSERT INTO events SELECT 1, source, scope, connection, event, at, epoch, seq, "
            "event_id, body FROM events WHERE id = 3"
        )
    stranger.close()
    assert [row.id for row in writer.file.read(0, 9)] == [3]


# Writers


def test_each_writer_has_a_place_of_its_own(options, writers, event):
    one, two = writers(options), writers(options)
    assert (one.claim.source, two.claim.source) == ("brama-1", "brama-2")
    one.append(event(1))
    two.append(event(1, event_id="other"))
    one.append(event(2))
    assert [row.read().source for row in one.file.read(0, 9)] == ["brama-1", "brama-2", "brama-1"]


def test_the_place_of_one_who_left_is_taken_with_its_numbers(options, writers, event):
    one, two = writers(options), writers(options)
    one.append(event(1), event(2), event(5, connection="other", epoch=9, scope="shop"))
    one.file.leave(one.claim.source, one.owner, clean=True)
    three = writers(options)
    assert three.claim.source == "brama-1"
    assert three.claim.clean
    assert three.claim.heads == {("", "search"): (7, 2), ("shop", "other"): (9, 5)}
    assert two.claim.source == "brama-2"


def test_a_place_that_was_not_left_in_good_order_is_not_clean(options, writers, event):
    one = writers(options)
    one.append(event(1))
    one.close()  # without a word to the file, as a process ends that is killed
    assert not writers(options).claim.clean


def test_one_who_has_appended_nothing_leaves_no_mark(options, writers):
    writers(options).close()
    assert writers(options).claim.clean


def test_a_place_that_another_has_taken_is_no_longer_written_from(options, writers, event):
    one = writers(options)
    one.owner.release()
    writers(options)
    with pytest.raises(LookupError):
        one.append(event(1))


def test_the_owner_of_a_dead_process_leaves_no_file_behind(options, writers, tmp_path):
    one = writers(options)
    one.owner._close()  # as the system does when a process is killed
    assert list(tmp_path.glob("*-owner-*"))
    two = writers(options)
    left = {found.name for found in tmp_path.glob("*-owner-*")}
    assert left == {f"journal.sqlite-owner-{two.owner.id}"}


# The file itself


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_file_of_an_earlier_version_is_brought_up_to_date(path, options, writers, event, version):
    old = sqlite3.connect(path, isolation_level=None)
    for script in MIGRATIONS[:version]:
        old.executescript(script)
    old.execute(
        "INSERT INTO events (source, connection, event, at, epoch, event_id, body) "
        "VALUES ('brama-1', 'search', 'success', 1, 1, 'x', '{}')"
    )
    if version > 1:
        with pytest.raises(sqlite3.IntegrityError):
            old.execute("DELETE FROM events")
    old.executescript(f"PRAGMA application_id = 1114792301; PRAGMA user_version = {version};")
    assert list(Trail(path)) == []  # it has none yet, and whoever only reads makes none
    old.close()
    writer = writers(options)
    assert [row.id for row in writer.file.read(0, 9)] == [1]
    assert connect(path, 1.0).execute("PRAGMA user_version").fetchone() == (VERSION,)
    writer.append(event(1))
    trail = [(entry.entry, dict(entry.data)) for entry in Trail(path)]
    # What was refused before is on the trail, too.
    assert trail[: version - 1] == [("change_refused", {"attempt": "DELETE"})] * (version - 1)
    assert trail[version - 1] == ("schema_migrated", {"old": version, "new": VERSION})


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_process_of_an_earlier_release_goes_on_with_a_file_that_was_brought_up_to_date(
    path, options, writers, event, version
):
    old = sqlite3.connect(path, isolation_level=None)
    for script in MIGRATIONS[:version]:
        old.executescript(script)
    old.executescript(f"PRAGMA application_id = 1114792301; PRAGMA user_version = {version};")
    old.execute("PRAGMA journal_mode = WAL")
    append = (
        "INSERT INTO events (source, connection, event, at, epoch, event_id, body) "
        "VALUES ('brama-9', 'search', 'success', 1, 1, ?, '{}')"
    )
    # It is in the middle of writing, and the one of this release has to wait for that.
    old.execute("BEGIN IMMEDIATE")
    old.execute(append, ("0",))
    with pytest.raises(JournalError, match="locked"):
        writers(attrs.evolve(options, busy_timeout=0.01)).append(event(1))
    old.execute("ROLLBACK")
    # And in the middle of reading while the tables are made anew.
    reading = old.execute("SELECT name FROM sqlite_schema")
    assert reading.fetchone() == ("events",)
    writer = writers(options)
    writer.append(*map(event, range(1, 9)))
    reading.close()
    # Its statements, as they were.
    old.execute(append, ("9",))
    old.execute("INSERT INTO retention VALUES (?, unixepoch() * 1000000, ?, ?)", (3, 3, "count"))
    old.execute("DELETE FROM events WHERE id <= ?", (3,))
    rules = attrs.evolve(options, max_events=4)
    remove(writer.file, plan(rules, extent(writer.file, 0.0)), source="brama-1")
    old.execute("INSERT INTO retention VALUES (?, unixepoch() * 1000000, ?, ?)", (6, 1, "age"))
    old.execute("DELETE FROM events WHERE id <= ?", (6,))
    old.close()
    told = [
        (entry.first, entry.last, entry.source, dict(entry.data))
        for entry in Trail(path, entries=["retention_ran"])
    ]
    assert told == [
        (1, 3, None, {"removed": 3, "reason": "count"}),
        (4, 5, "brama-1", {"removed": 2, "reason": "count"}),
        (6, 6, None, {"removed": 1, "reason": "age"}),
    ]
    assert [row.id for row in writer.file.read(0, 9)] == [7, 8, 9]


def test_a_process_that_stops_writes_its_last_events_though_a_later_release_has_moved_the_file_on(
    path, options, writers, event
):
    writer = writers(options)
    writer.append(event(1))
    later = sqlite3.connect(path)
    later.execute(f"PRAGMA user_version = {VERSION + 1}")
    later.close()
    writer.file.hurry(0.1)
    writer.append(event(2))
    with writer.file.use() as db:
        assert db.execute("PRAGMA busy_timeout").fetchone() == (100,)
        assert db.execute("SELECT count(*) FROM events").fetchone() == (2,)


def test_a_file_of_a_later_release_is_left_alone(path, options, writers):
    writers(options).close()
    later = sqlite3.connect(path)
    later.execute(f"PRAGMA user_version = {VERSION + 1}")
    later.close()
    before = path.read_bytes()
    with pytest.raises(JournalForeignError, match="a later release"):
        writers(options)
    assert path.read_bytes() == before


def test_somebody_elses_database_is_left_alone(path, options, writers):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE customers (name)")
    other.commit()
    other.close()
    with pytest.raises(JournalForeignError, match="not a journal of Brama"):
        writers(options)
    assert sqlite3.connect(path).execute("SELECT name FROM sqlite_schema").fetchall() == [
        ("customers",)
    ]


@pytest.mark.parametrize(
    "text", [b"[app]\nkey = 1\n" * 50, b"ab", b"\x93" * 5000], ids=["text", "short", "random"]
)
def test_a_file_that_is_no_database_is_somebody_elses_and_left_alone(path, options, text):
    path.write_bytes(text)
    with pytest.raises(JournalForeignError, match="no SQLite file"):
        connect(path, 1.0)
    assert path.read_bytes() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_file_whose_first_page_was_lost_is_damaged(path):
    path.write_bytes(b"\x00" * 8192)
    with pytest.raises(JournalDamagedError):
        connect(path, 1.0)


def test_a_file_of_which_only_the_head_is_sound_is_damaged_and_set_aside_whole(
    path, options, writer, event
):
    writer.append(event(1))
    writer.close()
    path.write_bytes(b"SQLite format 3\0" + b"no database at all" * 100)
    with pytest.raises(JournalDamagedError, match="not a database"):
        writer.file.read(0, 1)
    aside = writer.file.set_aside()
    assert aside.read_bytes() == b"SQLite format 3\0" + b"no database at all" * 100
    assert not path.exists()
    assert writer.file.set_aside() is None


def test_a_file_that_another_process_has_begun_anew_is_not_set_aside(path, options, writers, event):
    one, two = writers(options), writers(options)
    for writer in (one, two):
        writer.append(event(1))
    for writer in (one, two):
        writer.file.close()
    path.write_bytes(b"SQLite format 3\0" + b"no database at all" * 100)
    for writer in (one, two):
        with pytest.raises(JournalDamagedError):
            writer.file.read(0, 1)
    assert one.file.set_aside() is not None
    new = writers(options)
    new.append(event(2))
    assert two.file.set_aside() is None
    assert [row.id for row in two.file.read(0, 9)] == [1]


def test_what_lies_beside_a_file_that_is_there_is_left_alone(path, writer, event):
    writer.append(event(1))
    parts = [path.with_name(f"{path.name}-{part}") for part in ("wal", "shm")]
    before = [part.stat().st_ino for part in parts]
    clear_leftovers(path)
    assert [part.stat().st_ino for part in parts] == before


def test_damage_inside_the_file_is_found_by_the_check(path, writer, event):
    writer.append(*[event(number) for number in range(1, 2000)])
    writer.file.check()
    writer.file.close()
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096)
    with pytest.raises(JournalDamagedError, match=r"damaged|malformed"):
        writer.file.check()


def test_a_file_that_is_deleted_is_noticed_before_anything_is_written(path, writer, event):
    writer.append(event(1))
    path.unlink()
    with pytest.raises(JournalGoneError):
        writer.append(event(2))
    assert writer.file.claim(writer.owner).fresh  # in a new file
    writer.written = 0
    assert writer.append(event(2)) == 1


def test_a_file_that_another_process_holds_is_an_error_and_not_a_wait_for_ever(path, writer, event):
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="locked"):
        writer.append(event(1))
    holder.execute("ROLLBACK")
    assert writer.append(event(1)) == 1
    holder.close()


def test_a_full_disk_is_an_error_and_nothing_half_is_left(writer, event):
    writer.append(event(1))
    db = writer.file._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")
    many = [event(number) for number in range(2, 2000)]
    with pytest.raises(JournalError, match="full"):
        writer.append(*many)
    assert len(writer.file.read(0, 10)) == 1
    db.execute("PRAGMA max_page_count = 1000000")
    assert writer.append(*many) == 1999


@requirement("EV-14")
def test_times_are_kept_to_the_microsecond(writer, event):
    exact = event(1).timestamp + timedelta(microseconds=1)
    writer.append(event(1, timestamp=exact))
    assert writer.file.read(0, 1)[0].read().timestamp == exact
