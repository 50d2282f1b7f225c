"""A file that somebody changes, replaces or writes over while it is in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from brama.notifier import (
    JournalDamagedError,
    JournalForeignError,
    JournalGoneError,
    Replay,
    Trail,
    verify,
)
from brama.notifier.journal.place import look_at

GARBLE = "import sys; open(sys.argv[1], 'r+b').write(b'no database at all, but a letter')"
LOCK_WHOLE = """
import fcntl, sys
fcntl.lockf(open(sys.argv[1], "r+b"), fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000000 + 2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks belong to a descriptor there")
def test_who_looks_into_a_damaged_file_gives_up_no_lock_of_those_who_have_it_open(writer, path):
    checkpoint(writer)
    # By others: this process would give up its locks with the descriptor.
    subprocess.run([sys.executable, "-c", GARBLE, path], check=True)
    with pytest.raises(JournalDamagedError, match="not a database"):
        list(Replay(path))
    locking = subprocess.run([sys.executable, "-c", LOCK_WHOLE, path], capture_output=True)
    assert b"BlockingIOError" in locking.stderr  # SQLite's bytes of those who read


def checkpoint(writer) -> None:
    with writer.file.use() as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def write_over(path, text: bytes) -> None:
    """In place, as ``cp`` does: the same inode with something else in it."""
    before = path.stat().st_ino
    with path.open("r+b") as file:
        file.write(text)
        file.truncate()
    os.utime(path)
    assert path.stat().st_ino == before


@pytest.fixture
def foreign(tmp_path) -> bytes:
    other = tmp_path / "other.sqlite"
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE customers (name)")
    db.execute("INSERT INTO customers VALUES ('Ana')")
    db.commit()
    db.close()
    return other.read_bytes()


def test_another_database_that_is_written_over_the_file_is_noticed_and_left_alone(
    writer, event, path, foreign
):
    writer.append(event(1))
    write_over(path, foreign)
    for _ in range(2):  # the first time with the old one still open
        with pytest.raises(JournalForeignError, match="not a journal"):
            writer.append(event(2))
    assert path.read_bytes() == foreign
    writer.file.close()
    assert path.read_bytes() == foreign


def test_what_is_no_database_and_is_written_over_the_file_is_noticed_before_an_append(
    writer, event, path
):
    writer.append(event(1))
    write_over(path, b"no database at all " * 1000)
    with pytest.raises(JournalForeignError):
        writer.append(event(2))
    writer.file.close()
    assert path.read_bytes() == b"no database at all " * 1000
    [log] = path.parent.glob("*.damaged-*-log")  # with what was not in the file yet
    assert b"reason 1" in log.read_bytes()


def test_an_older_copy_that_is_written_over_the_file_is_noticed(writer, event, path, tmp_path):
    writer.append(event(1))
    checkpoint(writer)
    copy = path.read_bytes()
    writer.append(*[event(number) for number in range(2, 50)])
    checkpoint(writer)
    writer.append(event(50))
    write_over(path, copy)
    with pytest.raises(JournalDamagedError, match="an older copy"):
        writer.append(event(51))


def test_checkpoints_and_other_writers_are_no_reason_to_doubt_the_file(writers, options, event):
    one, two = writers(options), writers(options)
    for number in range(1, 60):
        one.append(event(number))
        two.append(event(number, event_id=f"two-{number}", source="brama-2"))
        if number % 5 == 0:
            checkpoint(one if number % 2 else two)
    assert len(one.file.read(0, 1000)) == 118
    assert verify(options.path).ok


def test_a_look_into_the_file_gives_up_no_lock_of_this_process(writer, event, path):
    writer.append(event(1))
    with writer.file.use() as db:
        db.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            assert look_at(path, 0)[0] == ""
        # Another process meets the lock as before.
        meet = (
            "import sqlite3, sys\n"
            "db = sqlite3.connect(sys.argv[1], timeout=0.0, isolation_level=None)\n"
            "db.execute('BEGIN IMMEDIATE')\n"
        )
        met = subprocess.run(
            [sys.executable, "-c", meet, str(path)], capture_output=True, text=True, timeout=30
        )
        assert "database is locked" in met.stderr
        db.execute("ROLLBACK")


def test_a_file_that_another_has_been_renamed_over_is_gone(writer, event, path, tmp_path):
    writer.append(event(1))
    other = tmp_path / "copy.sqlite"
    shutil.copy(path, other)
    other.rename(path)
    with pytest.raises(JournalGoneError):
        writer.append(event(2))


def test_a_system_goes_on_in_a_new_file_and_its_trail_says_why(systems, path):
    system = systems()
    circuit = system.circuit("search")
    circuit.open_circuit("before")
    assert system.flush()
    write_over(path, b"SQLite format 3\0" + b"no database at all " * 1000)
    alarms: list[str] = []
    system.subscribe(lambda event: alarms.append(event.data["status"]), events=["alarm"])
    circuit.close_circuit("after")
    deadline = time.monotonic() + 10
    while len(alarms) < 2 and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert alarms == ["failing", "recovered"]
    assert system.flush()
    assert [event.data["reason"] for event in Replay(path, events=["circuit_closed"])] == ["after"]
    [begun] = Trail(path, entries=["journal_begun"])
    assert "not a database" in begun.data["reason"]
    assert (path.parent / begun.data["aside"]).exists()
