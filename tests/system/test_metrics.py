"""What a whole system shows of itself in metrics."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

import brama
from brama.circuits import State
from brama.telemetry import metric_names, metrics, pools


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()
    monkeypatch.setattr(metrics, "_sources", metrics._Sources())
    pools.reset()


@pytest.fixture
def system() -> Iterator[brama.System]:
    with brama.System() as system:
        yield system


def calls() -> dict[tuple[str, ...], float]:
    return metrics.reading(metric_names.CALLS)


def fail() -> None:
    raise TimeoutError


def call(circuit: brama.Circuit, function: object) -> None:
    try:
        circuit.call(function)  # type: ignore[arg-type]
    except (TimeoutError, brama.CircuitOpenError):
        pass


def test_calls_are_shown_by_pool_and_outcome(system: brama.System) -> None:
    search = system.circuit("search", failure_threshold=2, ignore=(KeyError,))
    for function in (int, int, fail, int, fail, fail, int, int, int):
        call(search, function)
    system.circuit("idle")

    assert calls() == {
        ("search", "success"): 3,
        ("search", "failure"): 3,
        ("search", "ignored"): 0,
        ("search", "rejected"): 3,
        ("idle", "success"): 0,
        ("idle", "failure"): 0,
        ("idle", "ignored"): 0,
        ("idle", "rejected"): 0,
    }


def test_calls_are_exact_under_threads_and_many_circuits(system: brama.System) -> None:
    circuits = [system.circuit(f"c{number}") for number in range(500)]

    def load() -> None:
        for circuit in circuits:
            for _ in range(10):
                circuit.call(int)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = [sum(calls().values()) for _ in range(5)]
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert sum(calls().values()) == 20_000
    assert len({pool for pool, _ in calls()}) == 201
    assert calls()["other", "success"] == 300 * 40


def test_what_a_removed_circuit_has_counted_stays(system: brama.System) -> None:
    for _ in range(3):
        search = system.circuit("search")
        search.call(int)
        call(search, fail)
        assert system.unregister("search")
    assert calls()["search", "success"] == 3
    assert calls()["search", "failure"] == 3


def test_counts_never_fall_while_circuits_come_and_go(system: brama.System) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            system.circuit("search").call(int)
            system.unregister("search")

    thread = threading.Thread(target=churn)
    thread.start()
    seen = [calls().get(("search", "success"), 0) for _ in range(300)]
    stop.set()
    thread.join()
    assert seen == sorted(seen)


def test_circuits_are_counted_by_state(system: brama.System) -> None:
    for number in range(3):
        system.circuit(f"c{number}")
    system.circuit("c0").open_circuit()

    found = metrics.reading(metric_names.CIRCUITS)
    assert found["closed",] == 2
    assert found["open",] == 1
    assert found["half_open",] == 0
    assert {state for (state,) in found} == set(State)


def test_a_few_circuits_show_their_state_one_by_one_and_many_do_not(system: brama.System) -> None:
    system.circuit("c0").open_circuit()
    system.circuit("c1")
    found = metrics.reading(metric_names.STATUS)
    assert found["c0", "open"] == 1
    assert found["c0", "closed"] == 0
    assert found["c1", "closed"] == 1

    for number in range(300):
        system.circuit(f"c{number}")
    assert metrics.reading(metric_names.STATUS) == {}
    assert metrics.reading(metric_names.CIRCUITS)["closed",] == 299


def test_actors_and_their_mailboxes_are_shown_by_class(system: brama.System) -> None:
    with system.subscribe(lambda event: None, events=["state_change"]):
        system.start()
        found = metrics.reading(metric_names.ACTORS)
        assert found["Registry",] == 1
        depths = metrics.reading(metric_names.MAILBOX)
        assert set(depths) == set(found)
        assert all(depth >= 0 for depth in depths.values())


def test_several_systems_add_up() -> None:
    with brama.System() as first, brama.System() as second:
        for system in (first, second):
            system.circuit("search").call(int)
        assert calls()["search", "success"] == 2


def test_a_system_that_is_gone_leaves_its_counts_behind() -> None:
    with brama.System() as system:
        system.circuit("search").call(int)
    assert calls()["search", "success"] == 1
    del system
    gc.collect()
    assert Counter(calls())["search", "success"] == 1
