"""A handler that is stuck: the guarded call, the memory, the alarm."""

from __future__ import annotations

import statistics
import threading
import time

import pytest

import brama
from brama.circuits import Event
from brama.notifier import inline

requirement = pytest.mark.requirement
WITHIN = 10.0


@pytest.fixture
def stuck():
    reached, free = threading.Event(), threading.Event()

    def handle(_event: Event) -> None:
        reached.set()
        free.wait(WITHIN)

    handle.reached, handle.free = reached, free
    yield handle
    free.set()


@requirement("DT-08")
def test_beyond_the_critical_backlog_an_alarm_tells_the_others_and_then_that_it_is_over(
    system, recorder, monkeypatch, until, stuck
):
    monkeypatch.setattr("brama.notifier.inbox.CRITICAL_BACKLOG", 20)
    alarms, heard = recorder(), recorder()

    def slow(event: Event) -> None:
        stuck(event)
        heard(event)

    system.subscribe(inline(alarms), events=["alarm"])
    subscription = system.subscribe(slow, events=["state_change"])
    circuit = system.circuit("search")
    for turn in range(60):
        circuit.open_circuit()
        circuit.close_circuit(f"turn {turn}")
    (alarm,) = alarms.wait(1)
    assert (alarm.data["status"], alarm.severity) == ("failing", "critical")
    assert alarm.data["subject"] == f"subscription {subscription.id}"
    until(lambda: subscription.dropped > 50)
    assert subscription.queued <= 22
    stuck.free.set()
    events = heard.wait_until(
        lambda found: bool(found) and found[-1].data.get("reason") == "turn 59"
    )
    gaps = [event for event in events if event.event == "gap"]
    states = [event for event in events if event.event == "state_change"]
    assert [gap.data["lost"] for gap in gaps] == [subscription.dropped]
    assert len(states) + subscription.dropped == 120
    assert [event.n for event in events] == list(range(1, len(events) + 1))
    assert [one.data["status"] for one in alarms.wait(2)] == ["failing", "recovered"]


@requirement("DT-08")
def test_the_alarm_over_a_handler_that_does_not_keep_up_is_over_when_that_has_ended(
    system, recorder, monkeypatch, stuck
):
    monkeypatch.setattr("brama.notifier.inbox.CRITICAL_BACKLOG", 20)
    alarms = recorder()
    system.subscribe(inline(alarms), events=["alarm"])
    subscription = system.subscribe(stuck, events=["state_change"])
    circuit = system.circuit("search")
    for _ in range(30):
        circuit.open_circuit()
        circuit.close_circuit()
    alarms.wait(1)
    subscription.close()
    failing, recovered = (one.data for one in alarms.wait(2))
    assert (failing["status"], recovered["status"]) == ("failing", "recovered")
    assert failing["subject"] == recovered["subject"]
    assert "has ended" in recovered["reason"]


@requirement("DT-08")
def test_what_a_flood_costs_a_stuck_handler_arrives_as_one_gap(system, recorder, until, stuck):
    heard = recorder()

    def slow(event: Event) -> None:
        stuck(event)
        heard(event)

    subscription = system.subscribe(slow, events=["success"], backlog=10)
    circuit = system.circuit("search")
    circuit.success()
    assert stuck.reached.wait(WITHIN)
    for _ in range(50):
        circuit.success()
    until(lambda: subscription.dropped == 40)
    stuck.free.set()
    events = heard.wait(12)
    assert [event.event for event in events] == ["success", "gap"] + ["success"] * 10
    assert events[1].data["lost"] == 40


@requirement("DT-08")
@pytest.mark.soak
def test_a_stuck_handler_moves_the_guarded_calls_p99_by_less_than_50_us(system, stuck):
    circuit = system.circuit("search")

    def p99() -> float:
        taken = []
        for _ in range(20_000):
            began = time.perf_counter()
            circuit.call(_nothing)
            taken.append(time.perf_counter() - began)
        return statistics.quantiles(taken, n=100)[98]

    without = min(p99() for _ in range(3))
    # Of every call an event is made for it, so that its backlog is full throughout.
    subscription = system.subscribe(stuck, events=["state_change", "success"])
    circuit.open_circuit()
    assert stuck.reached.wait(WITHIN)
    circuit.close_circuit()
    assert min(p99() for _ in range(3)) - without < 50e-6
    assert subscription.dropped > 1_000


def _nothing() -> None: ...


def test_thousands_subscribe_and_leave_from_within_a_handler(system, until):
    counts: list[int] = []
    made: list[brama.Subscription] = []

    def churn(_event: Event) -> None:
        made.extend(
            system.subscribe(inline(lambda _e: counts.append(1)), events=["circuit_closed"])
            for _ in range(2_000)
        )
        for one in made[::2]:
            one.close()

    system.subscribe(churn, events=["circuit_opened"])
    circuit = system.circuit("search")
    circuit.open_circuit()
    until(lambda: len(system.subscriptions()) == 1_001)
    circuit.close_circuit()
    until(lambda: len(counts) == 1_000)
    for one in made:
        one.close()
    assert len(system.subscriptions()) == 1
