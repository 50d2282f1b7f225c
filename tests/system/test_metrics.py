"""What a whole system shows of itself in metrics."""

from __future__ import annotations

import gc
import inspect
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import brama
from brama.circuits import State
from brama.notifier import inline
from brama.telemetry import configure, metric_names, metrics, pools, process
from brama.telemetry.histograms import Series


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


@pytest.mark.requirement("BR-21")
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


@pytest.mark.requirement("BR-R18")
def test_the_state_of_a_removed_circuit_is_no_longer_shown(system: brama.System) -> None:
    for number in range(50):
        system.circuit(f"c{number}")
        assert system.unregister(f"c{number}")
    system.circuit("kept")
    assert {pool for pool, _ in metrics.reading(metric_names.STATUS)} == {"kept"}
    assert sum(metrics.reading(metric_names.CIRCUITS).values()) == 1


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


# Notifications


def published(system: brama.System, times: int) -> None:
    """So many state changes, each published before the next."""
    with system.events(events=["state_change"]) as events:
        for number in range(times):
            circuit = system.circuit("search")
            circuit.open_circuit() if number % 2 == 0 else circuit.close_circuit()
            events.get(timeout=5)


@pytest.mark.requirement("MT-01")
def test_deliveries_are_counted_exactly_also_of_subscriptions_that_have_ended(
    system: brama.System, until: Callable[[Callable[[], bool]], None]
) -> None:
    heard: list[object] = []
    for _ in range(3):
        with system.subscribe(inline(heard.append), events=["circuit_opened"]):
            opened = len(heard)
            system.circuit("search").open_circuit()
            until(lambda opened=opened: len(heard) == opened + 1)
            system.circuit("search").close_circuit()
    until(lambda: metrics.reading(metric_names.DELIVERED)[()] == 3)
    assert len(heard) == 3


@pytest.mark.requirement("MT-05")
def test_events_that_are_lost_are_counted_by_reason_and_equal_to_the_script(
    system: brama.System, until: Callable[[Callable[[], bool]], None]
) -> None:
    before = dict(metrics.reading(metric_names.DROPPED))
    crash = threading.Event()

    def failing(event: brama.Event) -> None:
        crash.set()
        raise ValueError("always")

    with system.subscribe(failing, events=["circuit_opened"], max_redeliveries=0):
        system.circuit("search").open_circuit()
        assert crash.wait(5)

        def lost() -> float:
            key = ("handler_failed",)
            return metrics.reading(metric_names.DROPPED).get(key, 0) - before.get(key, 0)

        until(lambda: lost() == 1)


@pytest.mark.requirement("MT-05")
def test_a_loss_without_a_known_reason_cannot_be_announced() -> None:
    from typing import get_args

    from brama.notifier.losses import Loss, announce_loss

    hints = inspect.signature(announce_loss).parameters["reason"]
    assert hints.annotation == "Loss"
    assert hints.default is inspect.Parameter.empty
    assert set(get_args(Loss)) == {"overflow", "handler_failed", "quarantined", "ended"}


@pytest.mark.requirement("MT-02")
def test_the_lag_s_quantiles_are_those_of_a_clock_outside(system: brama.System) -> None:
    metrics.lags.forget()
    measured: list[float] = []
    done = threading.Event()

    def late(event: brama.Event) -> None:
        measured.append(time.time() - event.timestamp.timestamp())
        time.sleep(0.02)
        if len(measured) == 40:
            done.set()

    reader = InMemoryMetricReader()
    with (
        configure(meter_provider=MeterProvider([reader], shutdown_on_exit=False)),
        system.subscribe(late, events=["circuit_opened", "circuit_closed"]),
    ):
        published(system, 40)
        assert done.wait(10)
    measured.sort()
    merged = Series([0] * (len(metrics.lags.boundaries) + 1))
    for series in metrics.lags.snapshot().values():
        merged.counts = [a + b for a, b in zip(merged.counts, series.counts, strict=True)]
        merged.count += series.count
        merged.sum += series.sum
        merged.min, merged.max = min(merged.min, series.min), max(merged.max, series.max)
    assert merged.count == 40
    assert merged.sum == pytest.approx(sum(measured), rel=0.1)
    for share, place in ((0.5, 19), (0.95, 37)):
        outside = pytest.approx(measured[place], rel=0.1)
        assert merged.quantile(share, metrics.lags.boundaries) == outside


@pytest.mark.requirement("MT-02")
def test_a_clock_set_back_makes_a_lag_of_nothing_and_is_counted() -> None:
    metrics.lags.forget()
    reader = InMemoryMetricReader()
    with (
        configure(meter_provider=MeterProvider([reader], shutdown_on_exit=False)),
        process(
            event="state_change",
            traceparent=None,
            subscription="pager",
            connection="search",
            scope=None,
            n=1,
            redelivered=False,
            lag=-5.0,
        ),
    ):
        pass
    (series,) = metrics.lags.snapshot().values()
    assert (series.min, series.max, series.count) == (0.0, 0.0, 1)
    assert metrics.reading(metric_names.SKEWED)[()] >= 1
