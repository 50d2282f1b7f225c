"""Beginning with the state of what is there: no gap, no double."""

from __future__ import annotations

import threading

import pytest

import brama
from brama.circuits import Event
from brama.notifier import inline

requirement = pytest.mark.requirement


@requirement("BR-16")
def test_a_snapshot_of_each_matching_circuit_comes_first_and_then_what_happens(system, recorder):
    system.circuit("a").open_circuit("broken")
    system.circuit("b")
    system.circuit("c", scope="other")
    seen = recorder()
    system.subscribe(inline(seen), events=["state_change"], snapshot=True, scope=None)
    first = seen.wait(3)
    assert [(e.event, e.connection, e.data["state"]) for e in first] == [
        ("snapshot", "a", "open"),
        ("snapshot", "b", "closed"),
        ("snapshot", "c", "closed"),
    ]
    assert first[0].data["reason"] == "broken"
    assert first[0].severity == "error"
    system.circuit("b").open_circuit()
    assert [e.event for e in seen.wait(4)][3:] == ["state_change"]


@pytest.mark.parametrize("glob", ["a*", "a1"])
def test_only_what_matches_has_a_snapshot(system, recorder, glob):
    for name in ("a1", "b1"):
        system.circuit(name)
    seen = recorder()
    system.subscribe(inline(seen), connection=glob, snapshot=True)
    system.circuit("a1").open_circuit()
    events = seen.wait(3)
    assert [e.event for e in events] == ["snapshot", "state_change", "circuit_opened"]


@requirement("BR-16")
def test_under_load_no_transition_is_missed_and_none_comes_that_the_snapshot_knew(
    system, recorder, until
):
    circuit = system.circuit("search")
    stop = threading.Event()

    def traffic() -> None:
        while not stop.is_set():
            circuit.open_circuit()
            circuit.close_circuit()
            stop.wait(0.0002)

    busy = threading.Thread(target=traffic)
    busy.start()
    streams: list[list[Event]] = []
    try:
        for _ in range(50):
            seen = recorder()
            with system.subscribe(inline(seen), events=["state_change"], snapshot=True):
                streams.append(seen.wait(5))
    finally:
        stop.set()
        busy.join()
    for events in streams:
        assert [e.event for e in events] == ["snapshot"] + ["state_change"] * 4
        states = [e.data["new_state"] for e in events]
        assert [e.data["previous_state"] for e in events[1:]] == states[:-1]
        assert [e.data["generation"] for e in events[1:]] == [
            events[0].data["generation"] + step for step in (1, 2, 3, 4)
        ]


def test_a_stream_begins_with_snapshots_too(system):
    system.circuit("a").open_circuit()
    with system.events(events=["state_change"], snapshot=True) as events:
        assert events.get(timeout=10).event == "snapshot"
        system.circuit("a").close_circuit()
        assert events.get(timeout=10).data["new_state"] == "closed"


def test_a_snapshot_comes_again_when_the_handler_fails_over_it(system, recorder):
    system.circuit("a")
    seen = recorder(lambda event: not event.redelivered)
    system.subscribe(seen, events=["state_change"], snapshot=True)
    first, second = seen.wait(2)
    assert (first.event, second.event, second.redelivered) == ("snapshot", "snapshot", True)
    assert first.event_id == second.event_id


def test_snapshots_travel_as_json_like_all_events(system):
    system.circuit("a")
    with system.events(snapshot=True) as events:
        event = events.get(timeout=10)
    assert brama.Event.from_json(event.to_json()).event == "snapshot"
