"""Whether a journal is whole, and what is said if it is not."""

from __future__ import annotations

import sqlite3

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama.notifier import JournalError, verify
from brama.notifier.journal.removal import extent, remove
from brama.notifier.journal.retention import plan
from brama.notifier.journal.schema import APPLICATION_ID, MIGRATIONS
from brama.notifier.journal.verify import Sequences

from .conftest import make_event


def kinds(report) -> list[str]:
    return [finding.kind for finding in report.findings]


def numbers(*events, whole: bool = True) -> list[str]:
    sequences = Sequences(whole=whole)
    found = [sequences.see(place, event) for place, event in enumerate(events, 1)]
    return [finding.kind for finding in found if finding is not None]


def test_a_whole_journal_is_whole(path, writer, event):
    writer.append(*[event(number) for number in range(1, 50)])
    writer.append(event(1, connection="other", scope="shop"))
    report = verify(path)
    assert report.ok
    assert (report.events, report.connections, report.sources) == (50, 2, 1)


def test_numbers_that_are_missing_or_repeated_are_found():
    assert numbers(make_event(1), make_event(2), make_event(3)) == []
    assert numbers(make_event(1), make_event(3)) == ["missing_number"]
    assert numbers(make_event(1), make_event(1)) == ["repeated_number"]
    assert numbers(make_event(2)) == ["missing_number"]
    assert numbers(make_event(2), whole=False) == []


def test_numbers_count_for_each_source_and_connection():
    assert (
        numbers(
            make_event(1),
            make_event(1, source="brama-2"),
            make_event(1, scope="shop"),
            make_event(1, connection="other"),
            make_event(2),
        )
        == []
    )


def test_a_new_epoch_begins_with_one_or_goes_on():
    assert numbers(make_event(1), make_event(1, epoch=8)) == []
    assert numbers(make_event(1), make_event(2, epoch=8)) == []
    assert numbers(make_event(1), make_event(3, epoch=8)) == ["missing_number"]


def test_what_a_gap_tells_of_is_not_missing():
    gap = make_event(0, event="gap", seq=None, data={"lost": 7}, connection="")
    assert numbers(make_event(1), gap, make_event(9)) == []
    assert numbers(gap, make_event(1), make_event(9)) == ["missing_number"]
    assert numbers(make_event(1), attrs.evolve(gap, source="x"), make_event(9)) == [
        "missing_number"
    ]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.data())
def test_whichever_event_is_taken_out_is_missed(names, data):
    """But for the last one of a connection, which nobody can miss."""
    counts = dict.fromkeys("abc", 0)
    events = []
    for name in names:
        counts[name] += 1
        events.append(make_event(counts[name], connection=name))
    assert numbers(*events) == []
    taken = data.draw(st.sampled_from(events))
    rest = [event for event in events if event is not taken]
    last = taken.seq == counts[taken.connection]
    assert numbers(*rest) == ([] if last else ["missing_number"])


def test_a_row_that_was_taken_out_behind_our_back_is_found(path, writer, event):
    writer.append(*[event(number) for number in range(1, 10)])
    with sqlite3.connect(path) as stranger:
        stranger.execute("DROP TRIGGER events_are_never_deleted")
        stranger.execute("DELETE FROM events WHERE id = 5")
    stranger.close()
    assert kinds(verify(path)) == ["missing_row", "missing_number"]


@pytest.mark.parametrize(
    "change", ["body = '{}'", "body = 'nonsense'", "connection = 'other'", "event = 'success'"]
)
def test_a_row_that_was_changed_behind_our_back_is_found(path, writer, event, change):
    writer.append(event(1), event(2))
    with sqlite3.connect(path) as stranger:
        stranger.execute("DROP TRIGGER events_are_never_changed")
        stranger.execute(f"UPDATE events SET {change} WHERE id = 2")
    stranger.close()
    assert kinds(verify(path)) == ["unreadable"]


def test_what_retention_removed_is_not_missing(path, options, writers, event):
    writer = writers(attrs.evolve(options, max_events=10, max_age=None))
    writer.append(*[event(number) for number in range(1, 51)])
    remove(writer.file, plan(writer.file.options, extent(writer.file, 0.0)))
    report = verify(path)
    assert report.ok
    assert (report.events, report.removed) == (10, 40)


def test_damage_is_found(path, writer, event):
    writer.append(*[event(number) for number in range(1, 2000)])
    writer.file.close()
    with path.open("r+b") as file:
        file.seek(4096 * 20)
        file.write(b"\xff" * 4096)
    try:
        report = verify(path)
    except JournalError:
        return  # too much of it to read any further
    assert "damage" in report.counts


def test_refused_attempts_are_counted(path, writer, event):
    writer.append(event(1))
    stranger = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.IntegrityError):
        stranger.execute("DELETE FROM events")
    stranger.close()
    report = verify(path)
    assert (report.ok, report.refusals) == (True, 1)


def test_a_file_of_the_first_version_can_be_looked_at_before_anybody_writes_it(path):
    old = sqlite3.connect(path, isolation_level=None)
    old.executescript(MIGRATIONS[0])
    old.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;")
    old.close()
    report = verify(path)
    assert (report.ok, report.events, report.refusals) == (True, 0, 0)


def test_where_there_is_no_journal_an_error_says_so(path):
    with pytest.raises(JournalError, match="there is no journal"):
        verify(path)
    assert not path.exists()
