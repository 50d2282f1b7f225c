"""Histograms of our own: buckets that cost a tenth of what the SDK's cost.

The SDK has no observable histogram, and recording into its own costs 4 to 8 µs. So times go into
plain buckets, exactly, and reach OpenTelemetry in one of two ways:

*  What `brama.telemetry.configure` has set up appends them to each export, see `points`.
*  An application's own provider cannot be appended to. There a uniform sample of the times is
   recorded when metrics are collected: quantiles and means are right, counts are those of the
   sample once there were more. (Exact counts are those of the counters.)
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import randrange
from typing import TYPE_CHECKING, Final

import attrs

from .enrichers import labels
from .forks import renew_after_fork
from .metric_names import MetricName
from .turns import Turn

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram as Instrument
    from opentelemetry.util.types import AttributeValue

__all__ = ["Histogram", "Series"]

SAMPLE: Final = 256
"""Times of one series that are recorded per collection into a provider that is not ours."""

UNSORTED: Final = 64
"""Times that wait to be sorted into their buckets; more only for as long as a look lasts."""

Values = tuple[str, ...]


@attrs.define
class Series:
    """The times that have the same attributes: per bucket, their sum, least and greatest."""

    counts: list[int]
    sum: float = 0.0
    count: int = 0
    min: float = float("inf")
    max: float = float("-inf")

    def copy(self) -> Series:
        return Series(self.counts.copy(), self.sum, self.count, self.min, self.max)

    def quantile(self, share: float, boundaries: Sequence[float]) -> float:
        """An estimate, interpolated inside its bucket as Prometheus does it."""
        wanted, below = share * self.count, 0
        edges = [min(self.min, *boundaries[:1]), *boundaries, max(self.max, boundaries[-1])]
        for place, count in enumerate(self.counts):
            if count and below + count >= wanted:
                low, high = max(edges[place], self.min), min(edges[place + 1], self.max)
                return low + (high - low) * (wanted - below) / count
            below += count
        return self.max


class _Samples:
    """A uniform sample of the times since the last collection (Vitter's algorithm R)."""

    def __init__(self) -> None:
        self.seen = 0
        self.kept: list[float] = []

    def add(self, value: float) -> None:
        self.seen += 1
        if len(self.kept) < SAMPLE:
            self.kept.append(value)
        elif (place := randrange(self.seen)) < SAMPLE:
            self.kept[place] = value


class Histogram:
    """Times by the values of a metric's attributes.

    Example:
        >>> from brama.telemetry import metric_names
        >>> lags = Histogram(metric_names.LAG, (0.1, 1.0))
        >>> lags.record(0.5, "state_change")
        >>> lags.snapshot()[("state_change",)].counts
        [0, 1, 0]

    Threads: any.
    """

    def __init__(self, metric: MetricName, boundaries: Sequence[float]) -> None:
        self.metric = metric
        self.boundaries = tuple(boundaries)
        self.since = time.time_ns()
        self._series: dict[Values, Series] = {}
        self._samples: dict[Instrument, dict[Values, _Samples]] = {}
        # What nobody has sorted into the two yet. Anybody may add to it at any moment, also where
        # somebody is at the sorting further out on the stack.
        self._new: deque[tuple[float, Values]] = deque()
        self._turn = Turn()  # Invariant: both dicts are touched by whoever has it, and no one else.
        renew_after_fork(self)

    def record(self, seconds: float, *values: str) -> None:
        """One time, with the `values` of the metric's attributes in their order."""
        self._new.append((seconds, values))
        if len(self._new) >= UNSORTED and self._turn.enter_at_once():
            try:
                self._sort()
            finally:
                self._turn.leave()

    def _sort(self) -> None:
        new = self._new
        for _ in range(len(new)):  # not what comes meanwhile, or it might never end
            try:
                seconds, values = new.popleft()
            except IndexError:  # a `forget` in the middle
                return
            series = self._series.get(values)
            if series is None:
                series = self._series[values] = Series([0] * (len(self.boundaries) + 1))
            series.counts[bisect_left(self.boundaries, seconds)] += 1
            series.count += 1
            series.sum += seconds
            if seconds < series.min:
                series.min = seconds
            if seconds > series.max:
                series.max = seconds
            for samples in self._samples.values():
                samples.setdefault(values, _Samples()).add(seconds)

    def snapshot(self) -> dict[Values, Series]:
        """The series by attribute values; copies.

        Empty for who asks in the middle of another look in the same thread.
        """
        with self._turn as mine:
            if not mine:
                return {}
            self._sort()
            return {values: series.copy() for values, series in self._series.items()}

    def attributes(self, values: Values) -> Mapping[str, AttributeValue]:
        """The attributes of a series; an empty value is an absent one."""
        return labels(self.metric, values)

    def sample_into(self, instrument: Instrument) -> Callable[[], None]:
        """Keep a sample for `instrument` from now on; what records it there, and begins anew."""
        with self._turn:
            self._sort()
            self._samples = {**self._samples, instrument: {}}

        def record() -> None:
            with self._turn as mine:
                if not mine:
                    return
                self._sort()
                taken, self._samples[instrument] = self._samples[instrument], {}
            for values, samples in taken.items():
                attributes = self.attributes(values)
                for seconds in samples.kept:
                    instrument.record(seconds, attributes)

        return record

    def forget(self) -> None:
        """Start from nothing."""
        with self._turn:
            self._new.clear()
            self._series.clear()
            self._samples.clear()
            self.since = time.time_ns()

    def after_fork(self) -> None:
        """Start over: what the parent has recorded, the parent reports."""
        self._turn = Turn()
        self._new.clear()
        self._series.clear()
        for samples in self._samples.values():
            samples.clear()
        self.since = time.time_ns()
