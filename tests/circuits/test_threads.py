"""Many threads at one circuit: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import itertools
import random
import sys
import threading

import pytest

import brama.circuits.settlement as settlement_module
from brama.circuits import CircuitOpenError

requirement = pytest.mark.requirement

THREADS = 8


@pytest.fixture(autouse=True)
def _switch_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def in_threads(job, threads=THREADS):
    faults = []
    together = threading.Barrier(threads)

    def run(number):
        together.wait()
        try:
            job(number)
        except BaseException as error:
            faults.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert faults == []


class Ignored(Exception):
    pass


class Tally:
    """What the threads have seen: one dict each, so that counting needs no lock."""

    def __init__(self):
        self.threads = [
            dict.fromkeys(("success", "failure", "ignore", "refused"), 0) for _ in range(THREADS)
        ]

    def __getitem__(self, word):
        return sum(thread[word] for thread in self.threads)


def hammer(circuit, number, tally, calls, advance=None):
    """Make `calls` calls with mixed outcomes, by all the forms in turn."""
    draw = random.Random(number)
    seen = tally.threads[number]
    outcome = "success"

    def call():
        if outcome == "failure":
            raise OSError
        if outcome == "ignore":
            raise Ignored

    decorated = circuit(call)

    def guarded():
        with circuit.guard():
            call()

    def by_hand():
        permit = circuit.try_acquire()
        if permit is None:
            raise CircuitOpenError("", None, circuit.state, 0.0, None)
        getattr(permit, outcome)()

    forms = (decorated, guarded, by_hand)
    for turn in range(calls):
        outcome = draw.choice(("success", "success", "failure", "ignore"))
        try:
            forms[turn % 3]()
        except CircuitOpenError:
            seen["refused"] += 1
        except (OSError, Ignored):
            seen[outcome] += 1
        else:
            seen[outcome] += 1
        if advance is not None and turn % 5 == 0:
            advance()


def check_counts(circuit, tally):
    status = circuit.status()
    assert (status.successes, status.failures, status.ignored, status.refused) == (
        tally["success"],
        tally["failure"],
        tally["ignore"],
        tally["refused"],
    )
    assert status.calls == status.successes + status.failures + status.ignored
    assert (status.in_flight, status.half_open_in_flight) == (0, 0)


@requirement("BR-R02")
def test_counts_of_a_circuit_that_stays_closed_are_exact(world):
    circuit = world.circuit(failure_threshold=10**9, ignore=Ignored)
    tally = Tally()
    in_threads(lambda number: hammer(circuit, number, tally, 3000))
    check_counts(circuit, tally)
    assert circuit.status().calls == THREADS * 3000


@requirement("BR-R02", "BR-R17")
def test_counts_of_a_circuit_that_opens_and_closes_all_the_time_are_exact(world, records):
    circuit = world.circuit(
        failure_threshold=2, expiry=1.0, half_open_max_calls=2, success_threshold=2, ignore=Ignored
    )
    tally = Tally()
    in_threads(
        lambda number: hammer(circuit, number, tally, 1500, lambda: world.clock.advance(0.25))
    )
    check_counts(circuit, tally)
    assert circuit.status().opened_count > 100


@requirement("BR-R02")
def test_counts_survive_a_thousand_transitions_by_hand_in_between(world):
    circuit = world.circuit(failure_threshold=10**9, ignore=Ignored)
    tally = Tally()

    def job(number):
        if number:
            hammer(circuit, number, tally, 800)
        else:
            for _ in range(2000):
                circuit.reset_circuit()

    in_threads(job)
    check_counts(circuit, tally)


@requirement("BR-R17", "BR-17")
def test_the_log_tells_of_alternating_states_in_gapless_order(world, records):
    circuit = world.circuit(failure_threshold=1, expiry=1.0)
    log, stop = [], threading.Event()

    def drain():
        while True:
            last = stop.is_set()
            for record in records(circuit):
                log.append(record)
                record.published = True
            if last:
                return

    drainer = threading.Thread(target=drain)
    drainer.start()
    tally = Tally()
    in_threads(lambda number: hammer(circuit, number, tally, 500, lambda: world.clock.advance(0.5)))
    stop.set()
    drainer.join()

    assert len(log) > 100
    assert [record.lost for record in log] == [0] * len(log)
    events = [event for record in log for event in record.events]
    assert [record.seq for record in log] == list(range(1, len(events) + 1, 2))
    assert log[0].data["previous_state"] == "closed"
    for earlier, later in itertools.pairwise(log):
        assert later.data["previous_state"] == earlier.data["new_state"]
        assert later.data["previous_state"] != later.data["new_state"]


@requirement("B6")
def test_threads_never_have_more_probes_out_than_the_policy_admits(world):
    circuit = world.half_open(half_open_max_calls=3, success_threshold=10**9, ignore=Ignored)
    out, most = [], []

    def job(number):
        for turn in range(400):
            permit = circuit.try_acquire()
            if permit is not None:
                out.append(number)
                most.append(len(out))
                out.pop()
                permit.ignore() if turn % 2 else permit.success()

    in_threads(job)
    assert 1 <= max(most) <= 3
    assert circuit.status().half_open_in_flight == 0


def test_a_success_in_the_middle_of_counting_a_failure_still_ends_the_row(world, monkeypatch):
    circuit = world.circuit(failure_threshold=2)

    def read_and_let_another_thread_succeed(counter):
        result = repr(counter)
        monkeypatch.undo()
        with circuit.guard():
            pass
        return result

    monkeypatch.setattr(
        settlement_module, "repr", read_and_let_another_thread_succeed, raising=False
    )
    circuit.failure()
    circuit.failure()
    assert circuit.status().failure_count == 1


@requirement("B18", "DT-08")
def test_calls_of_other_threads_go_on_while_one_call_hangs(world):
    circuit = world.circuit()
    hang, entered = threading.Event(), threading.Event()

    @circuit
    def call(wait):
        if wait:
            entered.set()
            hang.wait(10)

    thread = threading.Thread(target=call, args=(True,))
    thread.start()
    entered.wait(10)
    for _ in range(100):
        call(False)
    assert (circuit.status().successes, circuit.status().in_flight) == (100, 1)
    hang.set()
    thread.join()
    assert circuit.status().in_flight == 0
