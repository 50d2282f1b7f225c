"""Every event in every state: a table to be read beside the specifications of the field.

A trace is a line of steps, each with what is to be seen after it. The steps:

    ok, refused        somebody asks for admission; a permit that is given out is named a, b, c, …
    a+  a-  a~         the call named `a` succeeds, fails, ends neutrally
    +  -               a success, a failure that was seen elsewhere
    5s                 five seconds pass, and nobody looks
    tick               the timer looks
    open close reset force disable metrics     orders
    =closed …          the state is that; with /n, so many failures in a row are counted

The policy of all of them: two failures open, for ten seconds; one probe, given up after four.
"""

from __future__ import annotations

import itertools
import re
import string

import pytest

from brama.circuits import State

requirement = pytest.mark.requirement

POLICY = {"failure_threshold": 2, "expiry": 10.0, "half_open_timeout": 4.0}
ORDERS = {
    "open": "open_circuit",
    "close": "close_circuit",
    "reset": "reset_circuit",
    "force": "force_open",
    "disable": "disable",
    "metrics": "metrics_only",
}
ENDS = {"+": "success", "-": "failure", "~": "ignore"}

# How each state is reached.
REACH = {
    "closed": "",
    "open": "open =open",
    "expired": "open 10s",
    "half_open": "open 10s tick =half_open",
    "forced_open": "force =forced_open",
    "disabled": "disable =disabled",
    "metrics_only": "metrics =metrics_only",
}

# state × event → what is to be seen. `late` is a call that began before the state was reached.
CELLS = {
    ("closed", "acquire"): "ok a~ =closed/0",
    ("closed", "success"): "- =closed/1 ok a+ =closed/0",
    ("closed", "failure"): "ok a- =closed/1 ok b- =open/2",
    ("closed", "neutral"): "- ok a~ =closed/1 - =open/2",
    ("closed", "report"): "- + - =closed/1 - =open/2",
    ("closed", "expiry"): "- 1000s tick =closed/1",
    ("closed", "open"): "open =open refused",
    ("closed", "close"): "- close =closed/0 - =closed/1",
    ("closed", "reset"): "- reset =closed/0",
    ("closed", "force"): "force =forced_open refused",
    ("closed", "disable"): "disable =disabled ok a~",
    ("closed", "metrics"): "metrics =metrics_only ok a~",
    ("closed", "late"): "late- =closed/1",  # the state has not changed: it is no late result
    ("open", "acquire"): "refused refused =open",
    ("open", "success"): "+ =open refused",
    ("open", "failure"): "5s - =open 5s =half_open",  # and does not prolong it
    ("open", "neutral"): "refused =open",
    ("open", "report"): "- - - + =open",
    ("open", "expiry"): "9s tick =open refused 1s tick =half_open",
    ("open", "open"): "6s open 6s =open 4s =half_open",  # the time starts anew
    ("open", "close"): "close =closed/0 ok a- =closed/1",
    ("open", "reset"): "reset =closed/0 ok a~",
    ("open", "force"): "force 1000s tick =forced_open",
    ("open", "disable"): "disable =disabled",
    ("open", "metrics"): "metrics =metrics_only",
    ("open", "late"): "late+ =open late2- =open 10s =half_open",
    ("expired", "acquire"): "=half_open ok refused a~",
    ("expired", "success"): "ok a+ =closed/0",
    ("expired", "failure"): "ok a- =open 9s =open 1s =half_open",
    ("expired", "neutral"): "ok a~ =half_open ok b~",
    ("expired", "report"): "+ =closed/0",
    ("expired", "expiry"): "tick =half_open 1000s tick =half_open",
    ("expired", "open"): "open =open refused",
    ("expired", "close"): "close =closed/0",
    ("expired", "reset"): "reset =closed/0",
    ("expired", "force"): "force =forced_open",
    ("expired", "disable"): "disable =disabled",
    ("expired", "metrics"): "metrics =metrics_only",
    ("expired", "late"): "late+ =half_open late2- =half_open",
    ("half_open", "acquire"): "ok refused =half_open 4s ok refused a~ b~",  # the first is lost
    ("half_open", "success"): "ok a+ =closed/0",
    ("half_open", "failure"): "ok a- =open 10s ok b+ =closed",
    ("half_open", "neutral"): "ok a~ ok b~ ok c+ =closed",
    ("half_open", "report"): "- =open/1 10s + =closed",
    ("half_open", "expiry"): "ok 4s tick a+ =half_open ok b+ =closed",  # the answer of a lost probe
    ("half_open", "open"): "ok open =open a+ =open refused",
    ("half_open", "close"): "ok close =closed a- =closed/0",
    ("half_open", "reset"): "ok reset =closed a- =closed/0",
    ("half_open", "force"): "ok force =forced_open a+ =forced_open refused",
    ("half_open", "disable"): "ok disable =disabled a- =disabled/0",
    ("half_open", "metrics"): "ok metrics =metrics_only a- =metrics_only/0",
    ("half_open", "late"): "ok late+ =half_open late2- =half_open a+ =closed",
    ("forced_open", "acquire"): "refused refused =forced_open",
    ("forced_open", "success"): "+ =forced_open",
    ("forced_open", "failure"): "- - - =forced_open",
    ("forced_open", "neutral"): "refused =forced_open",
    ("forced_open", "report"): "+ - =forced_open",
    ("forced_open", "expiry"): "1000s tick =forced_open refused",
    ("forced_open", "open"): "open =open 10s =half_open",
    ("forced_open", "close"): "close =closed/0 ok a~",
    ("forced_open", "reset"): "reset =closed/0 ok a~",
    ("forced_open", "force"): "force =forced_open",
    ("forced_open", "disable"): "disable =disabled ok a~",
    ("forced_open", "metrics"): "metrics =metrics_only ok a~",
    ("forced_open", "late"): "late+ late2- =forced_open",
    ("disabled", "acquire"): "ok ok ok a~ b~ c~ =disabled",
    ("disabled", "success"): "- ok a+ =disabled/0",
    ("disabled", "failure"): "ok a- ok b- ok c- =disabled/3",
    ("disabled", "neutral"): "ok a~ =disabled/0",
    ("disabled", "report"): "- - - =disabled/3 + =disabled/0",
    ("disabled", "expiry"): "1000s tick =disabled",
    ("disabled", "open"): "open =open 10s =half_open",
    ("disabled", "close"): "- close =closed/0",
    ("disabled", "reset"): "- reset =closed/0",
    ("disabled", "force"): "force =forced_open",
    ("disabled", "disable"): "ok disable =disabled a- =disabled/1",
    ("disabled", "metrics"): "metrics =metrics_only/0",
    ("disabled", "late"): "late- =disabled/0",
    ("metrics_only", "acquire"): "ok ok a~ b~ =metrics_only",
    ("metrics_only", "success"): "- ok a+ =metrics_only/0",
    ("metrics_only", "failure"): "ok a- ok b- ok c- =metrics_only/3",
    ("metrics_only", "neutral"): "- ok a~ =metrics_only/1",
    ("metrics_only", "report"): "- - - =metrics_only/3 + =metrics_only/0",
    ("metrics_only", "expiry"): "1000s tick =metrics_only",
    ("metrics_only", "open"): "open =open",
    ("metrics_only", "close"): "- - - close =closed/0",
    ("metrics_only", "reset"): "reset =closed/0",
    ("metrics_only", "force"): "force =forced_open",
    ("metrics_only", "disable"): "disable =disabled",
    ("metrics_only", "metrics"): "- metrics =metrics_only/1",
    ("metrics_only", "late"): "late- =metrics_only/0",
}
EVENTS = ["acquire", "success", "failure", "neutral", "report", "expiry", *ORDERS, "late"]

# Stories from the specifications of others.
STORIES = {
    # MicroProfile Fault Tolerance: successThreshold
    "two probes close": ({"success_threshold": 2}, "open 10s ok a+ =half_open ok b+ =closed"),
    "a failed probe opens at once": ({"success_threshold": 2}, "open 10s ok a+ ok b- =open"),
    # failsafe-go: capacity and thresholds in half-open
    "two of three places": ({"half_open_max_calls": 2}, "open 10s ok ok refused a~ ok b~ c~"),
    "one bad probe is forgiven": (
        {"failure_threshold_half_open": 2},
        "open 10s ok a- =half_open ok b- =open",
    ),
    "a lost probe leaves the others": (
        {"half_open_max_calls": 2, "success_threshold": 2},
        "open 10s ok 2s ok 2s ok a+ =half_open b+ =half_open c+ =closed",
    ),
    # gobreaker: a generation fences what began before it
    "results of three generations ago": ({}, "ok open close open close a- =closed/0 - =closed/1"),
    "a result of the same name, another stay": ({}, "ok - - =open 10s ok b+ =closed a- =closed/0"),
    # resilience4j: an ignored exception must not keep the place
    "ignored probes one after the other": ({}, "open 10s ok a~ ok b~ ok c~ ok d+ =closed"),
    # opossum: a second opening must leave a timer
    "two openings at once": ({}, "ok ok ok a- b- c- =open 10s tick =half_open"),
}


def play(world, circuit, trace, permits=None):
    permits = {} if permits is None else permits
    names = iter(string.ascii_lowercase)
    for place, step in enumerate(trace.split(), 1):
        where = f"step {place}, {step!r}, of {trace!r}"
        if step in ("ok", "refused"):
            permit = circuit.try_acquire()
            assert (permit is None) == (step == "refused"), where
            if permit is not None:
                permits[next(names)] = permit
        elif step in "+-":
            circuit.success() if step == "+" else circuit.failure("seen elsewhere")
        elif step == "tick":
            circuit._breaker.tick()
        elif step in ORDERS:
            getattr(circuit, ORDERS[step])()
        elif match := re.fullmatch(r"(\d+)s", step):
            world.clock.advance(int(match[1]))
        elif match := re.fullmatch(r"=(\w+?)(?:/(\d+))?", step):
            status = circuit.status()
            assert status.state == match[1], where
            assert circuit.state is status.state, where
            assert match[2] is None or status.failure_count == int(match[2]), where
        else:
            match = re.fullmatch(r"(\w+?)([-+~])", step)
            assert match is not None, where
            getattr(permits[match[1]], ENDS[match[2]])()
    status = circuit.status()
    settled = status.successes + status.failures + status.ignored
    assert status.calls == settled + status.in_flight
    for permit in permits.values():
        permit.ignore()
    assert circuit.status().in_flight == circuit.status().half_open_in_flight == 0


def test_the_table_has_every_state_and_every_event():
    assert {state for state, _ in CELLS} - {"expired"} == set(State)
    assert set(CELLS) == set(itertools.product(REACH, EVENTS))


@requirement("BR-04", "BR-R01", "BR-R03", "BR-R16")
@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_every_event_in_every_state(world, cell):
    state, _event = cell
    circuit = world.circuit(**POLICY)
    early = {"late": circuit.try_acquire(), "late2": circuit.try_acquire()}
    play(world, circuit, f"{REACH[state]} {CELLS[cell]}", early)


@pytest.mark.parametrize("story", STORIES)
def test_stories_of_other_specifications(world, story):
    options, trace = STORIES[story]
    play(world, world.circuit(**{**POLICY, **options}), trace)
