"""What a journal forgets: a pure plan, and that it happens."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama.notifier import JournalOptions, Trail
from brama.notifier.journal.entries import Entry
from brama.notifier.journal.removal import extent, remove
from brama.notifier.journal.retention import Extent, plan

ANY = JournalOptions("x", max_age=None, max_events=None, max_bytes=None)


def sized(first=1, last=100, expired=0, used=0) -> Extent:
    return Extent(first, last, expired, used)


def test_without_rules_nothing_goes():
    assert plan(ANY, sized(used=1 << 40)) is None


def test_what_is_too_old_goes():
    assert plan(ANY, sized(expired=40)) == attrs.evolve(plan(ANY, sized(expired=40)), through=40)
    assert plan(ANY, sized(expired=40)).reason == "age"


def test_what_is_too_much_goes_from_the_front():
    found = plan(attrs.evolve(ANY, max_events=90), sized())
    assert (found.through, found.reason) == (10, "count")
    assert plan(attrs.evolve(ANY, max_events=100), sized()) is None


def test_a_file_that_is_too_large_loses_its_share():
    found = plan(attrs.evolve(ANY, max_bytes=75_000), sized(used=100_000))
    assert (found.through, found.reason) == (25, "size")


def test_the_rule_that_asks_for_most_wins():
    rules = attrs.evolve(ANY, max_events=90, max_bytes=75_000)
    assert plan(rules, sized(expired=60, used=100_000)).through == 60


def test_the_newest_event_always_stays():
    assert plan(ANY, sized(expired=100)).through == 99
    assert plan(ANY, sized(first=100, last=100, expired=100)) is None
    assert plan(ANY, sized(first=1, last=0)) is None


counts = st.none() | st.integers(1, 10_000)
sizes = st.none() | st.integers(1 << 16, 1 << 30)


@given(counts, sizes, st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 1 << 31))
def test_a_plan_keeps_the_rules_and_removes_no_more_than_it_must(most, size, first, count, used):
    rules = attrs.evolve(ANY, max_events=most, max_bytes=size)
    found = plan(rules, sized(first=first, last=first + count - 1, used=used))
    if found is None:
        assert most is None or count <= max(most, 1)
        assert size is None or used <= size or count <= 1
        return
    left = count - (found.through - first + 1)
    assert 1 <= left < count
    assert most is None or left <= most
    if found.reason == "count":
        assert left >= most - max(1, count // 100)


@pytest.fixture
def rules(options):
    return attrs.evolve(options, max_age=None, max_events=None, max_bytes=None)


def test_removed_events_are_gone_with_a_record_and_their_ids_are_not_given_again(
    rules, writers, event
):
    writer = writers(attrs.evolve(rules, max_events=10))
    writer.append(*[event(number) for number in range(1, 101)])
    found = plan(writer.file.options, extent(writer.file, 0.0))
    assert remove(writer.file, found) == 90
    assert [row.id for row in writer.file.read(0, 99)] == list(range(91, 101))
    assert writer.file.removed() == 90
    assert writer.append(event(101)) == 101
    assert plan(writer.file.options, extent(writer.file, 0.0)).through == 91


def test_age_is_that_of_the_event_and_not_of_its_row(rules, writers, event):
    writer = writers(attrs.evolve(rules, max_age=50.0))
    writer.append(*[event(number) for number in range(1, 101)])
    now = event(100).timestamp.timestamp()
    assert extent(writer.file, now).expired == 49
    assert remove(writer.file, plan(writer.file.options, extent(writer.file, now))) == 49


def test_many_are_removed_in_parts_that_others_can_write_between(
    rules, writers, event, path, monkeypatch
):
    monkeypatch.setattr("brama.notifier.journal.removal.CHUNK", 7)
    writer = writers(attrs.evolve(rules, max_events=5))
    writer.append(*[event(number) for number in range(1, 31)])
    assert remove(writer.file, plan(writer.file.options, extent(writer.file, 0.0))) == 25
    parts = [
        (entry.first, entry.last, entry.data["removed"], entry.data["reason"])
        for entry in Trail(path, entries=["retention_ran"])
    ]
    assert parts == [
        (1, 7, 7, "count"),
        (8, 14, 7, "count"),
        (15, 21, 7, "count"),
        (22, 25, 4, "count"),
    ]
    with writer.file.use() as db:  # which keeps no more than it needs
        assert db.execute("SELECT through FROM retention").fetchall() == [(25,)]


def test_an_event_from_the_future_does_not_keep_those_behind_it(rules, writers, event):
    writer = writers(attrs.evolve(rules, max_age=50.0))
    events = [event(number) for number in range(1, 101)]
    # A clock that was wrong for a moment, once by a year ahead and once behind.
    events[4] = event(5, timestamp=event(5).timestamp + timedelta(days=365))
    events[90] = event(91, timestamp=event(91).timestamp - timedelta(days=365))
    writer.append(*events)
    now = event(100).timestamp.timestamp()
    assert extent(writer.file, now).expired == 49
    remove(writer.file, plan(writer.file.options, extent(writer.file, now)))
    assert [row.id for row in writer.file.read(0, 99)] == list(range(50, 101))


def test_events_from_the_future_alone_stay(rules, writers, event):
    writer = writers(attrs.evolve(rules, max_age=50.0))
    writer.append(*[event(number) for number in range(1, 11)])
    assert extent(writer.file, event(1).timestamp.timestamp() - 10_000.0).expired == 0


def test_the_trail_is_forgotten_by_the_same_rules_and_tells_of_it(
    rules, writers, event, path, monkeypatch
):
    writer = writers(attrs.evolve(rules, max_events=10))
    writer.append(*[Entry(entry="order_given", at=number, process=1) for number in range(1, 31)])
    found = plan(writer.file.options, extent(writer.file, 0.0, "trail"))
    gone = remove(writer.file, found, "trail", "brama-1")
    *kept, told = Trail(path)
    assert gone == 31 - 10  # with the entry that the tables were made
    assert [entry.at for entry in kept] == list(range(21, 31))
    assert (told.entry, told.subject, told.first, told.last) == ("retention_ran", "trail", 1, 21)
    assert (told.source, told.process) == ("brama-1", os.getpid())


def test_a_trail_is_forgotten_by_age(rules, writers, path):
    writer = writers(attrs.evolve(rules, max_age=50.0))
    with writer.file.use() as db:
        last = db.execute("SELECT max(id) FROM trail").fetchone()[0]
    now = time.time()
    writer.append(
        *[Entry(entry="order_given", at=int((now + n) * 1_000_000)) for n in range(100, 200)]
    )
    assert extent(writer.file, now + 200.5, "trail").expired == last + 51


def test_a_file_gives_back_the_room_of_what_was_removed(rules, writers, event, path):
    writer = writers(attrs.evolve(rules, max_events=10))
    writer.append(*[event(number) for number in range(1, 5001)])
    before = extent(writer.file, 0.0).bytes
    remove(writer.file, plan(writer.file.options, extent(writer.file, 0.0)))
    assert extent(writer.file, 0.0).bytes < before / 10
    writer.file.close()
    assert path.stat().st_size < before / 5
