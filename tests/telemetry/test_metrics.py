"""Metrics, as a collector receives them from the real exporters."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import metrics as api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from brama.telemetry import Telemetry, configure, faults, flags, metrics, names, publish
from brama.telemetry import metric_names as all_names
from brama.telemetry.histograms import Histogram
from brama.telemetry.metrics import Counts, transitions
from brama.telemetry.testing import Measurement, OtlpReceiver

Trip = Callable[..., object]


def announce(event: str = "state_change") -> None:
    publish(None, event=event, event_id="1", connection="a", scope=None).end(matched=0, queued=0)


def latest(telemetry: Telemetry, receiver: OtlpReceiver, name: str) -> list[Measurement]:
    receiver.clear()
    assert telemetry.force_flush()
    return [metric for metric in receiver.metrics if metric.name == name]


def points(reader: InMemoryMetricReader, name: str) -> list[Any]:
    """The data points of one metric, collected now."""
    data = reader.get_metrics_data()
    assert data is not None
    return [
        point
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    ]


class Elsewhere:
    """Counts something, by no attribute, by one or by two."""

    def __init__(self, number: float = 1) -> None:
        self.number = number

    def total(self) -> dict[tuple[str, ...], float]:
        return {(): self.number}

    def by_one(self) -> dict[tuple[str, ...], float]:
        return {("a",): self.number}

    def by_two(self) -> dict[tuple[str, ...], float]:
        return {("a", "b"): self.number}


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
    for counts in metrics._counts:
        counts.add(*(f"a {name}" for name in counts.metric.attributes))
    for histogram in metrics.histograms:
        histogram.record(0.2, *(f"a {name}" for name in histogram.metric.attributes))
    faults.swallow("testing", LookupError())
    elsewhere = Elsewhere()
    metrics.source(all_names.DELIVERED, elsewhere.total)
    for name in (all_names.CIRCUITS, all_names.ACTORS, all_names.MAILBOX):
        metrics.source(name, elsewhere.by_one)
    for name in (all_names.CALLS, all_names.STATUS):
        metrics.source(name, elsewhere.by_two)
    assert telemetry.force_flush()

    for name in names.METRICS:
        found = [metric for metric in receiver.metrics if metric.name == name.name]
        assert len(found) == 1, name.name
        (metric,) = found
        if name.kind == "histogram":
            assert (metric.kind, metric.cumulative) == ("histogram", True)
        else:
            assert (metric.kind, metric.cumulative) == ("sum", True)
            assert metric.monotonic == (name.kind == "counter")
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
    assert [point.value for point in points(reader, "brama.circuit.transitions")] == [3]


def test_a_second_provider_gets_the_same_counts_and_not_twice_as_many(trip: Trip) -> None:
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    for reader in readers:
        with configure(meter_provider=MeterProvider([reader], shutdown_on_exit=False)):
            trip()

    totals = [points(reader, "brama.circuit.transitions")[0].value for reader in readers]
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


# Sources


def test_sources_of_one_metric_add_up(telemetry: Telemetry, receiver: OtlpReceiver) -> None:
    first, second = Elsewhere(3), Elsewhere(4)
    before = metrics.reading(all_names.CALLS).get(("a", "b"), 0)
    metrics.source(all_names.CALLS, first.by_two)
    metrics.source(all_names.CALLS, second.by_two)

    (series,) = latest(telemetry, receiver, "brama.circuit.calls")
    assert series.value - before == 7
    assert dict(series.attributes) == {"pool": "a", "brama.circuit.call.outcome": "b"}


def test_what_a_counter_has_shown_does_not_fall_when_its_source_is_gone() -> None:
    source = Elsewhere(5)
    before = metrics.reading(all_names.CALLS).get(("a", "b"), 0)
    metrics.source(all_names.CALLS, source.by_two)
    metrics.reading(all_names.CALLS)
    del source
    gc.collect()
    for _ in range(2):
        assert metrics.reading(all_names.CALLS)["a", "b"] - before == 5


def test_what_is_only_present_is_gone_with_its_source() -> None:
    source = Elsewhere(5)
    before = metrics.reading(all_names.ACTORS).get(("a",), 0)
    metrics.source(all_names.ACTORS, source.by_one)
    assert metrics.reading(all_names.ACTORS)["a",] - before == 5
    del source
    gc.collect()
    assert metrics.reading(all_names.ACTORS).get(("a",), 0) == before


# Histograms


def histogram(boundaries: tuple[float, ...] = (0.1, 1.0)) -> Histogram:
    return Histogram(all_names.LAG, boundaries)


def test_a_time_goes_into_the_bucket_whose_bound_it_does_not_exceed() -> None:
    lags = histogram()
    for seconds in (0.05, 0.1, 0.2, 1.0, 7.0):
        lags.record(seconds, "state_change")
    series = lags.snapshot()["state_change",]
    assert series.counts == [2, 2, 1]
    assert (series.count, series.sum, series.min, series.max) == (5, pytest.approx(8.35), 0.05, 7.0)


def test_times_are_recorded_exactly_by_many_threads() -> None:
    lags = histogram()

    def load() -> None:
        for _ in range(5_000):
            lags.record(0.5, "state_change")

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lags.snapshot()["state_change",].counts == [0, 20_000, 0]


def test_a_quantile_is_interpolated_inside_its_bucket() -> None:
    lags = histogram((0.1, 0.2, 0.3))
    for n in range(1, 301):
        lags.record(n / 1000, "state_change")
    series = lags.snapshot()["state_change",]
    assert series.quantile(0.5, lags.boundaries) == pytest.approx(0.15, rel=0.01)
    assert series.quantile(0.95, lags.boundaries) == pytest.approx(0.285, rel=0.01)


def test_our_histograms_arrive_exactly_with_our_own_buckets(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    for n in range(1_000):
        metrics.lags.record(n / 1000, "state_change")

    (series,) = latest(telemetry, receiver, "brama.notification.lag")
    assert (series.kind, series.unit, series.count) == ("histogram", "s", 1_000)
    assert series.value == pytest.approx(499.5)
    assert series.bounds == all_names.BOUNDARIES
    assert series.buckets == tuple(metrics.lags.snapshot()["state_change",].counts)
    assert dict(series.attributes) == {"brama.notification.event": "state_change"}


def test_an_exporter_that_wants_differences_gets_them(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    with configure(endpoint=receiver.endpoint, environ={}) as telemetry:
        for times in (3, 2):
            for _ in range(times):
                metrics.lags.record(0.2, "state_change")
            (series,) = latest(telemetry, receiver, "brama.notification.lag")
            assert (series.count, series.cumulative) == (times, False)


def test_a_provider_of_the_application_s_gets_a_sample_that_tells_the_same() -> None:
    reader = InMemoryMetricReader()
    with configure(meter_provider=MeterProvider([reader], shutdown_on_exit=False)):
        for n in range(10_000):
            metrics.lags.record((n % 100) / 100, "state_change")
        (point,) = points(reader, "brama.notification.lag")
    assert point.count == 256
    assert point.sum / point.count == pytest.approx(0.495, abs=0.1)
    assert tuple(point.explicit_bounds) == all_names.BOUNDARIES


def test_a_few_times_reach_a_provider_of_the_application_s_completely() -> None:
    reader = InMemoryMetricReader()
    with configure(meter_provider=MeterProvider([reader], shutdown_on_exit=False)):
        for _ in range(2):
            for _ in range(100):
                metrics.lags.record(0.2, "state_change")
            (point,) = points(reader, "brama.notification.lag")
    assert point.count == 200


def test_a_source_that_is_gone_leaves_its_counts_and_nothing_else() -> None:
    sources = metrics._Sources()

    class Figures:
        def calls(self) -> dict[tuple[str, ...], float]:
            return {("search", "success"): 2.0}

    for number in range(1, 101):
        one = Figures()
        sources.add(names.METRICS[0], one.calls)
        assert sources.read(names.METRICS[0]) == {("search", "success"): 2.0 * number}
        del one
    assert sources.read(names.METRICS[0]) == {("search", "success"): 200.0}
    assert not sources._readings[names.METRICS[0].name]


def test_a_source_that_goes_while_the_others_are_read_is_counted_once() -> None:
    sources = metrics._Sources()

    class Figures:
        def calls(self) -> dict[tuple[str, ...], float]:
            return {("search", "success"): 2.0}

    class Last(Figures):
        def calls(self) -> dict[tuple[str, ...], float]:
            if alone:
                alone.pop()
                sources.read(names.METRICS[0])  # as another reader does
            return super().calls()

    alone, last = [Figures()], Last()
    for one in (*alone, last):
        sources.add(names.METRICS[0], one.calls)
    del one
    assert sources.read(names.METRICS[0]) == {("search", "success"): 4.0}


def test_what_is_counted_without_a_lock_is_exact_and_adds_up_with_the_rest() -> None:
    counts = metrics.Counts(names.METRICS[0])
    counts.add("search", "success", count=5)
    ticks = counts.ticks("search", "success")
    assert counts.ticks("search", "success") is ticks

    def count() -> None:
        for _ in range(10_000):
            next(ticks.count)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts.snapshot() == {("search", "success"): 40_005}
    counts.after_fork()
    assert counts.snapshot() == {}


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


def set_provider(*readers: InMemoryMetricReader) -> MeterProvider:
    """As an application does it."""
    provider = MeterProvider(metric_readers=readers)
    api.set_meter_provider(provider)
    return provider


def test_a_provider_that_the_application_sets_first_shows_the_figures_of_a_healthy_service(
    reader: InMemoryMetricReader,
) -> None:
    set_provider(reader)
    elsewhere = Elsewhere(7)
    metrics.source(all_names.CALLS, elsewhere.by_two)
    assert [point.value for point in points(reader, "brama.circuit.calls")] == [7]


def test_a_provider_that_the_application_sets_later_shows_the_figures_of_a_healthy_service(
    reader: InMemoryMetricReader,
) -> None:
    elsewhere = Elsewhere(7)
    metrics.source(all_names.CALLS, elsewhere.by_two)
    set_provider(reader)
    assert [point.value for point in points(reader, "brama.circuit.calls")] == [7]
    announce()  # registers again, which must not count twice
    elsewhere.number = 8
    assert [point.value for point in points(reader, "brama.circuit.calls")] == [8]


def test_times_reach_a_provider_that_the_application_sets_later(
    reader: InMemoryMetricReader,
) -> None:
    elsewhere = Elsewhere()
    metrics.source(all_names.CALLS, elsewhere.by_two)
    set_provider(reader)
    points(reader, "brama.circuit.calls")  # the first collection finds the provider
    metrics.durations.record(0.2, *(f"a {name}" for name in all_names.DURATION.attributes))
    assert [point.count for point in points(reader, all_names.DURATION.name)] == [1]


def test_deliveries_are_timed_once_an_application_has_set_a_provider_for_metrics_alone(
    reader: InMemoryMetricReader,
) -> None:
    elsewhere = Elsewhere()
    metrics.source(all_names.CALLS, elsewhere.by_two)
    assert not flags.watching.deliveries
    set_provider(reader)
    announce()
    assert flags.watching.deliveries


def test_a_provider_that_is_given_is_shown_the_figures_instead_of_the_applications(
    reader: InMemoryMetricReader,
) -> None:
    elsewhere = Elsewhere()
    metrics.source(all_names.CALLS, elsewhere.by_two)
    set_provider(reader)
    given = InMemoryMetricReader()
    with configure(meter_provider=MeterProvider(metric_readers=[given]), environ={}):
        assert [point.value for point in points(given, "brama.circuit.calls")] == [1]
        assert reader.get_metrics_data() is None
    assert [point.value for point in points(reader, "brama.circuit.calls")] == [1]


def test_a_provider_that_is_given_and_then_set_by_the_application_does_not_count_twice(
    reader: InMemoryMetricReader,
) -> None:
    elsewhere = Elsewhere()
    metrics.source(all_names.CALLS, elsewhere.by_two)
    provider = MeterProvider(metric_readers=[reader])
    with configure(meter_provider=provider, environ={}):
        api.set_meter_provider(provider)
        assert [point.value for point in points(reader, "brama.circuit.calls")] == [1]


def test_metrics_of_a_healthy_service_in_a_process_of_its_own(
    new_python: Callable[..., Any],
) -> None:
    code = """if True:
        import sys
        import brama
        payments = brama.circuit("payments")
        assert not [name for name in sys.modules if name.startswith("opentelemetry.sdk")]
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider([reader]))
        payments.call(int)
        data = reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                print(*(metric.name for metric in scope.metrics))
    """
    done = new_python(code)
    assert {"brama.circuit.calls", "brama.circuit.count"} <= set(done.stdout.split()), done.stderr
    assert new_python(code, OTEL_SDK_DISABLED="true").stdout == ""
