"""Figures that Brama keeps itself and shows to OpenTelemetry when metrics are collected.

A synchronous `Counter.add` costs 3 to 7 µs with an SDK; a number in a dict a tenth of one. So
Brama counts in plain numbers, always, and observable instruments read them at collection time.
Counts are therefore exact from the start of the process, also when a provider comes later.

What others count anyway (a circuit its calls, an actor system its actors) is not counted again:
they are asked for it when metrics are collected, see `source`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from . import metric_names as names
from . import providers
from .enrichers import labels
from .faults import errors, swallow
from .forks import renew_after_fork
from .histograms import Histogram
from .metric_names import MetricName
from .ticks import Ticks
from .turns import Turn

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

__all__ = ["Counts", "deliver_exactly", "histograms", "published", "register", "source"]

Values = tuple[str, ...]
Reading = Callable[[], Mapping[Values, float]]


class Counts:
    """How often something happened, by the values of a metric's attributes.

    Example:
        >>> counts = Counts(names.PUBLISHED)
        >>> counts.add("state_change")
        >>> counts.snapshot()
        {('state_change',): 1}

    Threads: any; a finalizer or a signal handler that counts in the middle of another count may do
    so as well, for nothing here is ever locked.
    """

    def __init__(self, metric: MetricName) -> None:
        self.metric = metric
        # Invariant: grows by `setdefault` only, and is read as a copy; each of them is one step.
        self._ticks: dict[Values, Ticks] = {}
        renew_after_fork(self)

    def add(self, *values: str, count: int = 1) -> None:
        """Count `count`, with the `values` of the metric's attributes in their order."""
        ticks = self._ticks.get(values) or self.ticks(*values)
        if count == 1:
            next(ticks.count)
        else:
            ticks.add(count)

    def ticks(self, *values: str) -> Ticks:
        """What counts for these `values`; the same one each time."""
        return self._ticks.setdefault(values, Ticks())

    def snapshot(self) -> dict[Values, int]:
        """The counts by attribute values."""
        found = self._ticks.copy()
        return {values: number for values, ticks in found.items() if (number := ticks.value)}

    def forget(self) -> None:
        """Start from nothing."""
        for ticks in self._ticks.copy().values():
            ticks.forget()

    def after_fork(self) -> None:
        """Start over: what the parent counted, the parent reports."""
        self.forget()


transitions: Final = Counts(names.TRANSITIONS)
published: Final = Counts(names.PUBLISHED)
dropped: Final = Counts(names.DROPPED)
crashes: Final = Counts(names.CRASHES)
restarts: Final = Counts(names.RESTARTED)
dead_letters: Final = Counts(names.DEAD_LETTERS)
held_back: Final = Counts(names.HELD_BACK)
lost: Final = Counts(names.LOST)
skewed: Final = Counts(names.SKEWED)
truncated: Final = Counts(names.TRUNCATED)
unknown_kinds: Final = Counts(names.UNKNOWN_KINDS)

_counts: Final = (
    transitions,
    published,
    dropped,
    crashes,
    restarts,
    dead_letters,
    held_back,
    lost,
    skewed,
    truncated,
    unknown_kinds,
)

durations: Final = Histogram(names.DURATION, names.BOUNDARIES)
lags: Final = Histogram(names.LAG, names.BOUNDARIES)
processed: Final = Histogram(names.PROCESSED, names.BOUNDARIES)

histograms: Final = (durations, lags, processed)


class _Source:
    """One of those who have figures, and what it said last."""

    __slots__ = ("last", "read")

    def __init__(self, read: Reading) -> None:
        self.read: weakref.WeakMethod[Reading] = weakref.WeakMethod(read)
        self.last: Mapping[Values, float] = {}


class _Sources:
    """Who else has figures: functions that read them, by metric.

    Methods are held weakly: a system that is gone has none. What counted up must not fall when
    that happens, so the last reading of a counter stays.
    """

    def __init__(self) -> None:
        # Invariant: a source is put in and taken out in one step each, and the dicts are read as
        # copies, so that a finalizer may make a system while somebody reads.
        self._readings: dict[str, dict[_Source, None]] = {}
        # Invariant: replaced by whoever has the turn. What is in it is never changed.
        self._gone: dict[str, dict[Values, float]] = {}
        self._turn = Turn()
        renew_after_fork(self)

    def add(self, metric: MetricName, read: Reading) -> None:
        self._readings.setdefault(metric.name, {})[_Source(read)] = None

    def read(self, metric: MetricName) -> dict[Values, float]:
        while True:
            before = self._gone.get(metric.name)
            total = self._add_up(metric)
            gone = self._gone.get(metric.name)
            if gone is before:
                _add(total, gone or {})
                return total
            # One was buried in between, perhaps by another thread after it had been read here: it
            # would be counted twice.

    def _add_up(self, metric: MetricName) -> dict[Values, float]:
        """The sources that are alive."""
        total: dict[Values, float] = {}
        for source in self._readings.get(metric.name, {}).copy():
            read = source.read()
            if read is None:
                self._bury(metric, source)
                continue
            reading = read()
            if metric.kind == "counter":
                source.last = reading
            _add(total, reading)
        return total

    def _bury(self, metric: MetricName, source: _Source) -> None:
        known = self._readings[metric.name]
        with self._turn as mine:
            # Two readers may find it gone at the same time; and one that began in the middle of a
            # burial leaves this one to the next.
            if mine and source in known:
                gone = self._gone.get(metric.name, {}).copy()
                _add(gone, source.last)
                self._gone[metric.name] = gone
                del known[source]

    def after_fork(self) -> None:
        """Whoever had the turn is not there to leave it; the parent reports what it counted."""
        self._turn = Turn()
        self._gone.clear()
        for known in self._readings.values():
            for source in known:
                source.last = {}


def _add(total: dict[Values, float], more: Mapping[Values, float]) -> None:
    for values, number in more.items():
        total[values] = total.get(values, 0) + number


_sources: Final = _Sources()


def source(metric: MetricName, read: Reading) -> None:
    """Have `read` asked for the figures of `metric` whenever metrics are collected.

    Args:
        metric: one of `brama.telemetry.names.METRICS`, a ``counter`` or an ``updowncounter``.
        read: a bound method, held weakly; returns numbers by the values of the metric's
            attributes, in their order. Several sources of one metric add up.

    Threads: any; `read` runs in the thread that collects.
    """
    _sources.add(metric, read)
    _register_early()


def reading(metric: MetricName) -> dict[Values, float]:
    """What `metric` shows now: our own counts and those of the sources."""
    total = _sources.read(metric)
    for counts in _counts:
        if counts.metric is metric:
            _add(total, counts.snapshot())
    if metric in {names.SKEWED, names.DELIVERED, names.TRUNCATED, names.UNKNOWN_KINDS}:
        total.setdefault((), 0)  # without any figure a reader would not export at all
    if metric is names.ERRORS:
        _add(total, {(kind,): number for kind, number in errors().items()})
    return total


class _Registered:
    """The meter providers that know the counts.

    Attributes:
        early: the counts are shown to whatever the application may set as its provider. Written
            before that is so: a child that is forked in the middle must not try it again.
    """

    def __init__(self) -> None:
        # Invariant: each is changed and asked in one step, and what two want to do is left to the
        # one whose own object `setdefault` gives back: there is no lock to be found held by a
        # finalizer, and none to renew in a child.
        self._early: dict[str, object] = {}
        self._providers: weakref.WeakKeyDictionary[Any, object] = weakref.WeakKeyDictionary()
        self._exact: weakref.WeakSet[Any] = weakref.WeakSet()
        self._by_proxy: weakref.WeakKeyDictionary[Any, list[Callable[[], None]]] = (
            weakref.WeakKeyDictionary()
        )
        self._last: weakref.ref[MeterProvider] | None = None  # a shortcut

    @property
    def early(self) -> bool:
        return bool(self._early)

    def add(self, provider: MeterProvider) -> bool:
        """Whether `provider` is new here."""
        if self._last is not None and self._last() is provider:
            return False
        mine = object()
        new = self._providers.setdefault(provider, mine) is mine
        self._last = weakref.ref(provider)
        return new

    def begin_early(self) -> bool:
        """Whether it has to be done, and by this caller."""
        mine = object()
        return self._early.setdefault("begun", mine) is mine

    def give_up_early(self) -> None:
        """It could not be done; the next one may try."""
        self._early.clear()

    def reached(self, provider: MeterProvider, drain: list[Callable[[], None]]) -> None:
        """`provider` has been shown the counts early; what records its samples."""
        self._by_proxy[provider] = drain

    def drain(self, provider: MeterProvider) -> list[Callable[[], None]] | None:
        """What records the samples of a provider that was `reached`; None of any other."""
        return self._by_proxy.get(provider)

    def deliver_exactly(self, provider: MeterProvider) -> None:
        self._exact.add(provider)

    def is_exact(self, provider: MeterProvider) -> bool:
        return provider in self._exact


_registered: Final = _Registered()


def deliver_exactly(provider: MeterProvider) -> None:
    """`provider`'s exporters append the histograms themselves: record no samples into it."""
    _registered.deliver_exactly(provider)


def register() -> None:
    """Show the figures to the current meter provider, unless it knows them.

    Called at each count, for there is no hook for an application's setting its provider. Cheap
    when there is nothing to do, and imports nothing. A provider that refuses is asked once.
    """
    provider = providers.current_meter_provider()
    if provider is None or not _registered.add(provider):
        return
    try:
        _reach(provider)
        providers.renew()  # flags depend on whether there is one
    except Exception as error:  # noqa: BLE001 - metrics must not break what they count
        swallow("registering metrics", error)


def _register_early() -> None:
    """The same, and also to a provider that the application sets later.

    OpenTelemetry's API has a stand-in for it, which hands its instruments on. That takes the API of
    the metrics, some 15 ms to import where the application has not done so; once, with the first
    circuit or system, for a service that is well has no other occasion to show its figures.
    """
    if providers.current_meter_provider() is not None:
        register()
    elif not _registered.early and _registered.begin_early():
        try:
            _show_early()
        except Exception as error:  # noqa: BLE001 - as above
            swallow("registering metrics", error)


def _show_early() -> None:
    from opentelemetry.metrics import get_meter_provider

    try:
        _show(get_meter_provider(), _Early())
    except BaseException:
        _registered.give_up_early()
        raise


def _reach(provider: MeterProvider) -> None:
    # Samples go first: the others' callbacks, which run at each collection, drain them, and the
    # SDK collects synchronous instruments after that.
    drain = [] if _registered.is_exact(provider) else _samplers(provider)
    if _registered.early and provider is providers.global_meter_provider():
        _registered.reached(provider, drain)
    else:
        _show(provider, _Direct(drain))


class _Direct:
    """A provider that was shown the figures itself. Asked at each collection what to do first."""

    def __init__(self, drain: list[Callable[[], None]]) -> None:
        self._drain = drain

    def drain(self) -> list[Callable[[], None]] | None:
        return self._drain


class _Early:
    """Whatever the application has set: it is shown nothing while another one is preferred."""

    def drain(self) -> list[Callable[[], None]] | None:
        provider = providers.global_meter_provider()
        if provider is None or providers.current_meter_provider() is not provider:
            return None
        register()  # nothing may have been counted since it was set
        return _registered.drain(provider)


def _show(provider: MeterProvider, way: _Direct | _Early) -> None:
    first = True
    for metric in names.METRICS:
        if metric.kind == "histogram":
            continue
        meter = providers.meter(provider, metric.scope)
        make = (
            meter.create_observable_counter
            if metric.kind == "counter"
            else meter.create_observable_up_down_counter
        )
        make(
            metric.name,
            callbacks=[_Callback(metric, way, drains=first)],
            unit=metric.unit,
            description=metric.description,
        )
        first = False


def _samplers(provider: MeterProvider) -> list[Callable[[], None]]:
    return [
        histogram.sample_into(
            providers.meter(provider, histogram.metric.scope).create_histogram(
                histogram.metric.name,
                unit=histogram.metric.unit,
                description=histogram.metric.description,
                explicit_bucket_boundaries_advisory=list(histogram.boundaries),
            )
        )
        for histogram in histograms
    ]


class _Callback:
    """What OpenTelemetry's reader calls, in its thread."""

    def __init__(self, metric: MetricName, way: _Direct | _Early, *, drains: bool) -> None:
        self._metric = metric
        self._way = way
        self._drains = drains

    def __call__(self, _options: CallbackOptions) -> Iterable[Observation]:
        from opentelemetry.metrics import Observation

        try:
            drain = self._way.drain()
            if drain is None:
                return []
            if self._drains:
                for do in drain:
                    do()
            return [
                Observation(number, labels(self._metric, values))
                for values, number in reading(self._metric).items()
            ]
        except Exception as error:  # noqa: BLE001 - one metric must not cost the others
            swallow(f"reading {self._metric.name}", error)
            return []
