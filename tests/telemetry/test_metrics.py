"""Metrics, as a collector receives them from the real exporters."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from opentelemetry import metrics as api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from brama.telemetry import Telemetry, configure, names, publish
from brama.telemetry.metrics import Counts, transitions
from brama.telemetry.testing import Measurement, OtlpReceiver

Trip = Callable[..., object]


def announce(event: str = "state_change") -> None:
    publish(None, event=event, event_id="1", connection="a", scope=None).end(matched=0, queued=0)


def latest(telemetry: Telemetry, receiver: OtlpReceiver, name: str) -> list[Measurement]:
    receiver.clear()
    assert telemetry.force_flush()
    return [metric for metric in receiver.metrics if metric.name == name]


def test_transitions_are_counted_by_pool_and_states_and_not_by_connection(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip()
    trip()
    trip(previous="open", new="half_open")

    found = latest(telemetry, receiver, "brama.circuit.transitions")
    series = {tuple(metric.attributes.values()): metric.value for metric in found}
    assert series == {
        ("payment_api", "open", "closed"): 2,
        ("payment_api", "half_open", "open"): 1,
    }
    assert {key for metric in found for key in metric.attributes} == set(
        names.TRANSITIONS.attributes
    )


@pytest.mark.requirement("MT-01")
def test_the_counter_of_published_events_equals_what_was_sent(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    def load() -> None:
        for _ in range(5_000):
            announce()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (series,) = latest(telemetry, receiver, "brama.notification.published")
    assert series.value == 20_000
    assert dict(series.attributes) == {"brama.notification.event": "state_change"}


def test_every_metric_arrives_as_it_is_listed(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip()
    announce()
    assert telemetry.force_flush()

    for name in names.METRICS:
        (metric,) = (metric for metric in receiver.metrics if metric.name == name.name)
        assert (metric.kind, metric.monotonic, metric.cumulative) == ("sum", True, True)
        assert metric.unit == name.unit
        assert set(metric.attributes) == set(name.attributes)
        assert set(name.attributes) <= set(names.ATTRIBUTES)
        assert (metric.scope.name, metric.scope.schema_url) == (name.scope, names.SCHEMA_URL)
        assert metric.resource["service.name"] == "checkout"


def test_connections_beyond_the_limit_are_counted_together(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    for n in range(1_000):
        trip(connection=f"c{n}")

    found = latest(telemetry, receiver, "brama.circuit.transitions")
    assert len(found) == 201
    assert sum(metric.value for metric in found) == 1_000


def test_what_was_counted_before_there_was_a_provider_is_not_lost(
    receiver: OtlpReceiver, trip: Trip
) -> None:
    trip()
    with configure(endpoint=receiver.endpoint, environ={}) as telemetry:
        (metric,) = latest(telemetry, receiver, "brama.circuit.transitions")

    assert metric.value == 1


def test_a_provider_that_the_application_installs_later_gets_the_counts(trip: Trip) -> None:
    trip()
    reader = InMemoryMetricReader()
    api.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    trip()
    trip()

    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert [point.value for point in metric.data.data_points] == [3]


def test_a_second_provider_gets_the_same_counts_and_not_twice_as_many(trip: Trip) -> None:
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    for reader in readers:
        with configure(meter_provider=MeterProvider([reader], shutdown_on_exit=False)):
            trip()

    totals = [
        point.value
        for reader in readers
        for point in reader.get_metrics_data()
        .resource_metrics[0]
        .scope_metrics[0]
        .metrics[0]
        .data.data_points
    ]
    assert totals == [2, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_counts_from_zero(trip: Trip) -> None:
    """What the parent counted, the parent goes on reporting."""
    trip()
    pid = os.fork()
    if pid == 0:
        counted = transitions.snapshot()
        trip()
        os._exit(0 if not counted and sum(transitions.snapshot().values()) == 1 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert sum(transitions.snapshot().values()) == 1


def test_counts_are_exact_under_threads() -> None:
    counts = Counts(names.PUBLISHED)
    threads = [
        threading.Thread(target=lambda: [counts.add("a") for _ in range(10_000)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts.snapshot() == {("a",): 80_000}
