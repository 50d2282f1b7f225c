"""The bells between breakers and their connection actors, and what the actor does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

import brama
from brama.actors import kill
from brama.circuits import Bells
from brama.circuits.connection import AT_ONCE
from brama.notifier import inline

requirement = pytest.mark.requirement
WITHIN = 10.0


@pytest.fixture
def system() -> Iterator[brama.System]:
    system = brama.System(brama.Settings())
    system.start()
    yield system
    system.stop()


def on_loop(system: brama.System, function):
    """What `function` gives on the loop of the system, between two turns."""
    result, done = [], threading.Event()
    assert system.actors.call_soon(lambda: (result.append(function()), done.set()))
    assert done.wait(WITHIN)
    return result[0]


def seen_by(system: brama.System, count: int, **wanted):
    """A subscription that keeps events, and an event set when `count` of them are there."""
    events, there = [], threading.Event()

    def handler(event) -> None:
        events.append(event)
        if len(events) == count:
            there.set()

    system.subscribe(inline(handler), **wanted)
    return events, there


def wait_for(condition) -> None:
    ticks = threading.Event()
    for _ in range(2000):
        if condition():
            return
        ticks.wait(0.005)
    raise AssertionError("it did not come true in time")


@requirement("B7", "BR-R05")
def test_an_expiry_is_noticed_by_the_timer_of_the_actor_without_any_traffic(system):
    events, there = seen_by(system, 1, events=["circuit_half_opened"])
    circuit = system.circuit("search", expiry=0.05)
    circuit.open_circuit()
    assert there.wait(WITHIN)
    assert events[0].data["reason"] == "expiry elapsed"


def test_a_shorter_expiry_given_by_hand_sets_the_timer_anew(system):
    _events, there = seen_by(system, 1, events=["circuit_half_opened"])
    circuit = system.circuit("search", expiry=3600)
    circuit.open_circuit()
    wait_for(lambda: system.tree().find("circuits").children)
    circuit.open_circuit(expires_in=0.01)
    assert there.wait(WITHIN)


@requirement("BR-R04")
def test_a_lost_probe_is_noticed_without_traffic(system):
    events, there = seen_by(system, 1, events=["probe_lost"])
    circuit = system.circuit("search", expiry=0.01, half_open_timeout=0.02)
    circuit.open_circuit()
    wait_for(circuit.available)
    permit = circuit.try_acquire()
    assert permit is not None
    assert there.wait(WITHIN)
    assert circuit.available()
    permit.success()
    assert circuit.status().late == 1
    assert events[0].event == "probe_lost"


def test_an_actor_is_there_only_while_its_circuit_has_something_to_manage(system):
    circuits = [system.circuit(f"c{n}") for n in range(20)]
    for circuit in circuits:
        circuit.open_circuit()
    wait_for(lambda: len(system.tree().find("circuits").children) == 20)
    for circuit in circuits:
        circuit.close_circuit()
    wait_for(lambda: system.tree().find("circuits").children == ())
    assert (system._bells.actors, system._bells._rung) == ({}, set())
    assert all(circuit._breaker.log is None for circuit in circuits)


def test_a_flood_of_reports_leaves_one_bell_in_the_mailbox(system):
    circuit = system.circuit("search", expiry=3600)
    circuit.open_circuit()
    wait_for(lambda: system.tree().find("circuits").children)
    held, free = threading.Event(), threading.Event()
    system.actors.call_soon(lambda: (held.set(), free.wait(WITHIN)))
    assert held.wait(WITHIN)
    try:
        for number in range(500):
            circuit.open_circuit(f"again {number}")
        (actor,) = system.tree().find("circuits").children
        assert actor.mailbox <= 1
    finally:
        free.set()


@requirement("SB-10")
def test_an_actor_that_leaves_drops_no_bell_and_no_event(system, caplog):
    events, there = seen_by(system, 2000, events=["circuit_opened", "circuit_closed"])
    circuit = system.circuit("search")
    for number in range(1000):
        circuit.open_circuit()
        circuit.close_circuit()
        if not number % 50:
            wait_for(lambda: len(getattr(circuit._breaker.log, "records", ())) < 100)
    assert there.wait(WITHIN)
    assert [event.seq for event in events] == list(range(2, 4001, 2))
    wait_for(lambda: system.tree().find("circuits").children == ())
    assert "dead letter" not in caplog.text


@requirement("SB-10", "SB-11", "actors:restart-types")
def test_a_killed_actor_has_a_successor_who_carries_on(system):
    events, there = seen_by(system, 40, events=["state_change"])
    circuit = system.circuit("search", expiry=3600)
    for _ in range(20):
        circuit.open_circuit()
        actor = system._bells.actors.get(circuit._breaker)
        if actor is not None:
            kill(actor)
        circuit.close_circuit()
    assert there.wait(WITHIN)
    assert [event.seq for event in events] == list(range(1, 80, 2))


def test_the_state_does_not_depend_on_the_actor(system):
    circuit = system.circuit("search", expiry=3600)
    circuit.open_circuit()
    wait_for(lambda: system._bells.actors.get(circuit._breaker))
    kill(system._bells.actors[circuit._breaker])
    assert circuit.state is brama.State.OPEN
    assert circuit.try_acquire() is None


def test_an_actor_that_is_asked_for_twice_is_there_once_and_hears_what_follows(system, caplog):
    _events, there = seen_by(system, 1, events=["circuit_opened"])
    circuit = system.circuit("search", expiry=3600)
    bells, breaker = system._bells, circuit._breaker

    def ask_twice() -> None:  # as a ring and a new supervisor do that come at the same moment
        bells.actors[breaker] = None
        bells._start(breaker)
        bells._start(breaker)

    on_loop(system, ask_twice)
    circuit.open_circuit()
    assert there.wait(WITHIN)
    assert "has no connection actor" not in caplog.text


def test_of_very_many_openings_at_once_a_few_actors_are_being_started(system, monkeypatch):
    under_way = []
    start = Bells._start

    def counted(bells, *args):
        start(bells, *args)
        under_way.append(len(bells._starting))

    monkeypatch.setattr(Bells, "_start", counted)
    events, there = seen_by(system, 1000, events=["circuit_opened"])
    circuits = [system.circuit(f"c{number}") for number in range(1000)]
    for circuit in circuits:
        circuit.open_circuit()
    assert there.wait(WITHIN)
    assert {event.connection for event in events} == {f"c{number}" for number in range(1000)}
    assert len(under_way) == 1000
    assert max(under_way) <= AT_ONCE
    wait_for(lambda: len(system.tree().find("circuits").children) == 1000)
    assert system._bells._starting == set()


def test_openings_that_wait_for_an_actor_get_one_from_the_next_supervisor(system):
    events, there = seen_by(system, 300, events=["circuit_opened"])
    circuits = [system.circuit(f"c{number}") for number in range(300)]

    def all_at_once() -> None:
        for circuit in circuits:
            circuit.open_circuit()
        kill(system._bells.supervisor)

    on_loop(system, all_at_once)
    assert there.wait(WITHIN)
    assert {event.connection for event in events} == {f"c{number}" for number in range(300)}


def test_an_interrupted_ring_does_not_keep_the_next_one_from_being_heard(world):
    calls = []

    def call_soon(function) -> None:
        calls.append(function)
        if len(calls) == 1:
            raise KeyboardInterrupt

    bells = Bells(call_soon)
    breakers = [world.circuit(name)._breaker for name in ("one", "two", "three")]
    with pytest.raises(KeyboardInterrupt):
        bells.ring(breakers[0])
    bells.ring(breakers[1])
    bells.ring(breakers[2])
    assert len(calls) == 2  # the second stands for the third
