"""What waits for the file: in order, bounded, and never lost in silence."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama.notifier.journal.intake import JOURNALED, Command, Intake

from .conftest import make_event


def gap(lost: int):
    return make_event(0, event="gap", seq=None, data={"lost": lost})


def minor(number: int):
    return make_event(number, event="registration", seq=None)


def drained(intake: Intake, batch: int = 7) -> list:
    found = []
    while (work := intake.peek(batch)) is not None:
        if isinstance(work, Command):
            work.do()
            intake.obeyed(work)
        else:
            found += work.events
            intake.advance(work.end)
    return found


def test_events_come_out_in_order():
    intake = Intake(100, gap)
    events = [make_event(number) for number in range(20)]
    for event in events:
        intake.put(event)
    assert intake.waiting == 20
    assert drained(intake) == events
    assert intake.waiting == 0


def test_what_was_not_advanced_over_comes_again():
    intake = Intake(100, gap)
    for number in range(3):
        intake.put(make_event(number))
    assert intake.peek(2).events == intake.peek(2).events
    batch = intake.peek(2)
    intake.advance(batch.end)
    intake.advance(batch.end)  # said twice, by a store that was given up on
    assert (intake.peek(2).number, intake.peek(2).events) == (2, [make_event(2)])


def test_a_command_is_obeyed_between_the_events_around_it():
    intake, log = Intake(100, gap), []
    intake.put(make_event(1))
    intake.order(lambda: log.append("between"))
    intake.put(make_event(2))
    assert intake.peek(10).events == [make_event(1)]
    intake.advance(1)
    work = intake.peek(10)
    work.do()
    intake.obeyed(work)
    intake.obeyed(work)
    assert (log, intake.peek(10).events) == (["between"], [make_event(2)])


def test_it_rings_once_until_it_was_found_empty():
    rings = []
    intake = Intake(100, gap)
    intake.ring = lambda: rings.append(1)
    for number in range(5):
        intake.put(make_event(number))
    assert len(rings) == 1
    drained(intake)
    intake.put(make_event(9))
    assert len(rings) == 2


def test_beyond_its_limit_it_keeps_the_latest_state_of_each_connection_behind_a_gap():
    intake = Intake(4, gap)
    kept = [make_event(number) for number in range(4)]
    for event in kept:
        intake.put(event)
    for number in range(10, 20, 2):
        for connection in ("a", "b"):
            intake.put(make_event(number, connection=connection))
            intake.put(make_event(number + 1, connection=connection, event="circuit_opened"))
    intake.put(minor(1))
    assert intake.lost == 4 * 4 + 1
    found = drained(intake)
    assert found[:4] == kept
    assert found[4].data == {"lost": 17}
    assert [(event.connection, event.seq) for event in found[5:]] == [
        ("a", 18),
        ("a", 19),
        ("b", 18),
        ("b", 19),
    ]


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(0, 3)), max_size=60),
)
def test_nothing_is_lost_that_no_gap_tells_of(limit, steps):
    intake = Intake(limit, gap)
    given, found = 0, []
    for number, (critical, connection, rest) in enumerate(steps):
        if critical:
            intake.put(make_event(number, connection=connection))
        else:
            intake.put(minor(number))
        given += 1
        assert intake.waiting <= limit + 2 * (2 * 3) + 1
        if rest == 0:
            found += drained(intake, batch=2)
    found += drained(intake)
    gaps = [event.data["lost"] for event in found if event.event == "gap"]
    assert all(gaps)
    assert len(found) - len(gaps) + sum(gaps) == given
    # Per connection in order, and the last state of each is there.
    for connection in "abc":
        asked = [
            n for n, (critical, name, _) in enumerate(steps) if critical and name == connection
        ]
        came = [e.seq for e in found if e.seq is not None and e.connection == connection]
        assert came == sorted(came)
        assert came[-1:] == asked[-1:]


def test_one_who_waits_is_told_when_all_is_in_the_file():
    intake = Intake(100, gap)
    assert intake.wait(0)
    intake.put(make_event(1))
    assert not intake.wait(0.01)
    threading.Timer(0.02, lambda: drained(intake)).start()
    assert intake.wait(5)


def test_one_who_waits_waits_for_what_has_overflown_too():
    intake = Intake(1, gap)
    intake.put(make_event(1))
    intake.put(make_event(2))
    assert not intake.wait(0.01)
    intake.advance(1)
    assert not intake.wait(0.01)
    drained(intake)
    assert intake.wait(0)


def test_events_of_single_calls_are_not_journaled_by_default():
    assert "success" not in JOURNALED
    assert "failure" not in JOURNALED
    assert {"state_change", "circuit_opened", "registration", "alarm", "gap"} <= set(JOURNALED)


@pytest.mark.parametrize("threads", [4])
def test_many_threads_put_and_none_is_lost(threads):
    intake = Intake(100_000, gap)

    def put(name: str) -> None:
        for number in range(500):
            intake.put(make_event(number, connection=name))

    workers = [threading.Thread(target=put, args=(str(n),)) for n in range(threads)]
    for worker in workers:
        worker.start()
    found: list = []
    while any(worker.is_alive() for worker in workers):
        found += drained(intake)
    found += drained(intake)
    for n in range(threads):
        assert [e.seq for e in found if e.connection == str(n)] == list(range(500))
