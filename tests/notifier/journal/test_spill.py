"""A backlog beyond what a queue takes goes on in the journal: nothing critical is lost."""

from __future__ import annotations

import threading

import pytest

from brama.notifier import inbox as queue
from brama.notifier.journal import follower

requirement = pytest.mark.requirement
CRITICAL = ["state_change", "circuit_opened", "circuit_closed"]
LIMIT = 30


@pytest.fixture(autouse=True)
def small_queues(monkeypatch):
    monkeypatch.setattr(queue, "CRITICAL_BACKLOG", LIMIT)
    monkeypatch.setattr(follower, "WINDOW", LIMIT // 2)
    monkeypatch.setattr(follower, "LOW", LIMIT // 8)


def flip(system, circuit, times: int) -> None:
    for turn in range(times):
        circuit.open_circuit()
        circuit.close_circuit()
        if turn % 50 == 49:
            assert system.flush()
    assert system.flush()


@pytest.fixture
def stuck(recorder):
    """A handler that waits at its first event until it is let go."""
    heard, reached, free = recorder(), threading.Event(), threading.Event()

    def handle(event) -> None:
        reached.set()
        assert free.wait(30)
        heard(event)

    handle.heard, handle.reached, handle.free = heard, reached, free
    yield handle
    free.set()


@requirement("SB-10")
def test_a_handler_that_hangs_loses_nothing_critical_and_its_queue_stays_bounded(systems, stuck):
    system = systems()
    subscription = system.subscribe(stuck, events=CRITICAL)
    flip(system, system.circuit("search"), 200)
    assert stuck.reached.wait(10)
    assert subscription.queued <= LIMIT + 1
    stuck.free.set()
    events = stuck.heard.wait(800)
    assert [event.seq for event in events] == list(range(1, 801))
    assert [event.n for event in events] == list(range(1, 801))
    assert subscription.dropped == 0


def test_when_it_has_caught_up_it_goes_on_with_what_happens_then(systems, stuck):
    system = systems()
    system.subscribe(stuck, events=CRITICAL)
    circuit = system.circuit("search")
    flip(system, circuit, 30)
    stuck.free.set()
    stuck.heard.wait(120)
    flip(system, circuit, 5)
    assert [event.seq for event in stuck.heard.wait(140)] == list(range(1, 141))


def test_only_what_matches_comes_back_from_the_journal(systems, stuck):
    system = systems()
    system.subscribe(
        stuck,
        events=["circuit_opened"],
        connection="search",
        filter=lambda event: event.seq % 8 != 2,
    )
    for _ in range(5):
        flip(system, system.circuit("search"), 20)
        flip(system, system.circuit("other"), 20)
    stuck.free.set()
    events = stuck.heard.wait(50)
    assert [event.seq for event in events] == list(range(6, 401, 8))
    assert {event.connection for event in events} == {"search"}


def test_it_may_be_closed_while_it_is_behind_and_others_notice_nothing(systems, stuck, recorder):
    system, other = systems(), recorder()
    behind = system.subscribe(stuck, events=CRITICAL)
    system.subscribe(other, events=CRITICAL)
    circuit = system.circuit("search")
    flip(system, circuit, 30)
    behind.close()
    flip(system, circuit, 3)
    assert [event.seq for event in other.wait(132)] == list(range(1, 133))
    assert system.journal.status().durable == {}


def test_the_spill_leaves_no_mark_in_the_file(systems, stuck, path):
    import sqlite3

    system = systems()
    system.subscribe(stuck, events=CRITICAL)
    flip(system, system.circuit("search"), 30)
    stuck.free.set()
    stuck.heard.wait(120)
    system.stop()
    with sqlite3.connect(path) as stranger:
        assert stranger.execute("SELECT count(*) FROM durables").fetchone() == (0,)
    stranger.close()
