"""The events of every call: refusals, neutral ends, late results. Only for whoever wants them."""

from __future__ import annotations

import gc
import time

import pytest

import brama
from brama.circuits import EVENTS, CircuitOpenError, State

from .conftest import World
from .forms import FORMS

requirement = pytest.mark.requirement("BR-15")
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
KINDS = ("call_rejected", "call_ignored", "late_result")


class Kinds:
    """Somebody wants some kinds of events of every circuit."""

    version = 1

    def __init__(self, *names):
        self._mask = sum(EVENTS[name].bit for name in names)

    def mask(self, connection, scope, kind):
        return self._mask


@pytest.fixture
def world():
    world = World(Kinds(*KINDS))
    world.shared.subscribe(lambda kind: kind in KINDS)
    return world


def told(circuit, *names):
    return [
        (record.events[0], dict(record.data))
        for record in circuit._breaker.pending()
        if record.events[0] in (names or KINDS)
    ]


@requirement
@forms
def test_every_refusal_is_told_once_in_every_form(world, form):
    circuit = world.circuit(expiry=30.0)
    circuit.open_circuit("deploy")
    for _ in range(2):
        with pytest.raises(CircuitOpenError):
            form(circuit, lambda: None)
    rejected = (
        "call_rejected",
        {"retry_after": 30.0, "state": State.OPEN, "failure_count": 0, "reason": "deploy"},
    )
    assert told(circuit) == [rejected] * 2
    assert circuit.status().refused == 2


@requirement
def test_a_refusal_that_raises_nothing_is_told_too(world):
    circuit = world.half_open()
    probe = circuit.try_acquire()
    assert circuit.try_acquire() is None
    probe.ignore()
    circuit.force_open()
    assert circuit.try_acquire() is None
    states = [data["state"] for _, data in told(circuit, "call_rejected")]
    assert states == [State.HALF_OPEN, State.FORCED_OPEN]


@requirement
@pytest.mark.parametrize("state", ["closed", "half_open"])
@forms
def test_a_neutral_end_is_told_once_in_every_form(world, form, state):
    circuit = (world.half_open if state == "half_open" else world.circuit)(ignore=KeyError)

    def missing():
        raise KeyError("missing")

    with pytest.raises(KeyError):
        form(circuit, missing)
    gc.collect()
    circuit.status()
    assert [kind for kind, _ in told(circuit)] == ["call_ignored"]


@requirement
@pytest.mark.parametrize("outcome", ["success", "failure", "ignored"])
def test_a_late_result_says_how_the_call_has_ended(world, outcome):
    circuit = world.circuit(slow_after=9.0)
    permit = circuit.try_acquire()
    circuit.reset_circuit()
    getattr(permit, {"ignored": "ignore"}.get(outcome, outcome))()
    assert [(kind, data["outcome"]) for kind, data in told(circuit)] == [("late_result", outcome)]
    assert circuit.status().late == 1


@requirement
@pytest.mark.parametrize("outcome", ["success", "failure", "ignored"])
def test_the_answer_of_a_probe_that_was_given_up_is_a_late_result(world, outcome):
    circuit = world.half_open(half_open_timeout=5.0)
    probe = circuit.try_acquire()
    world.clock.advance(5.0)
    circuit._breaker.tick()
    getattr(probe, {"ignored": "ignore"}.get(outcome, outcome))()
    late = [data["outcome"] for kind, data in told(circuit, "late_result") if kind]
    assert late == [outcome]


@requirement
def test_what_nobody_wants_is_neither_made_nor_looked_for():
    world = World()
    circuit = world.circuit(ignore=KeyError)
    permit = circuit.try_acquire()
    circuit.reset_circuit()
    permit.success()
    circuit.try_acquire().ignore()
    circuit.force_open()
    assert circuit.try_acquire() is None
    assert not told(circuit)
    assert (world.shared.watched, world.shared.watched_refusals) == (False, False)


@requirement
def test_after_an_unregistration_nothing_is_told(world):
    circuit = world.circuit()
    permit = circuit.try_acquire()
    circuit._breaker.shut_gate("connection_unregistered")
    permit.failure()
    assert told(circuit) == []
    assert circuit.status().late == 1


@requirement
def test_subscribers_hear_of_calls_that_were_refused_ignored_and_late():
    with brama.System() as system, system.events(events=KINDS, connection="search") as events:
        circuit = system.circuit("search")
        late = circuit.try_acquire()
        circuit.try_acquire().ignore()
        assert events.get(timeout=10).event == "call_ignored"
        circuit.force_open()
        assert circuit.try_acquire() is None
        assert events.get(timeout=10).event == "call_rejected"
        late.success()
        event = events.get(timeout=10)
        assert (event.event, event.data["outcome"]) == ("late_result", "success")
    deadline = time.monotonic() + 10
    while system._shared.watched_refusals and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (system._shared.watched, system._shared.watched_refusals) == (False, False)
