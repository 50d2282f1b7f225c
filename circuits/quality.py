"""Quality: a connection that works and works badly, noticed with hysteresis."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from math import ceil
from typing import Any

import trio

from brama.telemetry import ConfigError, is_real, unknown

from .breaker import Breaker
from .options import seconds, whole
from .sources import Source

__all__ = ["ErrorShare", "Hysteresis", "Latency", "Quality"]

OK, DEGRADED = "ok", "degraded"
MEASURES = ("latency", "errors")
SAMPLES = 1024


class Hysteresis:
    """Good or bad, with a gap between the two limits in which it stays what it was: pure.

    Example:
        >>> state = Hysteresis(upper=2.0, lower=1.0)
        >>> [state.judge(value) for value in (1.5, 2.5, 1.5, 0.5)]
        [False, True, False, True]

    Args:
        upper: above it, it is degraded.
        lower: below it, it is ok again.
    """

    def __init__(self, upper: float, lower: float) -> None:
        self.upper = upper
        self.lower = lower
        self.state = OK

    def judge(self, value: float) -> bool:
        """Take in a new value; whether the state has changed."""
        before = self.state
        if value > self.upper:
            self.state = DEGRADED
        elif value < self.lower:
            self.state = OK
        return self.state != before

    @property
    def limit(self) -> float:
        """The limit that the present state was reached by."""
        return self.upper if self.state == DEGRADED else self.lower


class Latency:
    """A percentile of the durations in a sliding window: pure. Keeps the newest 1 024 samples.

    Args:
        window: seconds.
        percentile: as a share: 0.95 is the duration that 95 of 100 stay below.
        minimum: fewer samples say nothing.
    """

    def __init__(self, window: float, percentile: float, minimum: int) -> None:
        self._window = window
        self._percentile = percentile
        self._minimum = minimum
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES)

    def add(self, now: float, duration: float) -> None:
        """Take in one duration. Appending is one step, so any thread may."""
        self._samples.append((now, duration))

    def value(self, now: float) -> float | None:
        """The percentile, or None when there are too few samples."""
        samples = self._samples
        while samples and samples[0][0] <= now - self._window:
            samples.popleft()
        durations = sorted(duration for _, duration in samples.copy())
        if len(durations) < self._minimum:
            return None
        return durations[max(0, ceil(self._percentile * len(durations)) - 1)]


class ErrorShare:
    """The share of failures in a sliding window, from readings of two counters: pure.

    Args:
        window: seconds.
        minimum: fewer calls say nothing.
    """

    def __init__(self, window: float, minimum: int) -> None:
        self._window = window
        self._minimum = minimum
        self._readings: deque[tuple[float, int, int]] = deque()

    def read(self, now: float, successes: int, failures: int) -> None:
        """Take in the counters as they stand."""
        readings = self._readings
        if readings and (successes < readings[-1][1] or failures < readings[-1][2]):
            readings.clear()  # the circuit was registered anew
        readings.append((now, successes, failures))
        # One reading at or before the beginning of the window is what the others are counted from.
        while len(readings) > 1 and readings[1][0] <= now - self._window:
            readings.popleft()

    def value(self) -> float | None:
        """The share of failures, or None when there were too few calls."""
        if not self._readings:
            return None
        _, successes, failures = self._readings[-1]
        _, before, failed_before = self._readings[0]
        calls = successes - before + failures - failed_before
        return None if calls < self._minimum else (failures - failed_before) / calls


class Quality(Source):
    """How well a connection works: `Circuit.quality` makes it.

    Attributes:
        measure: ``"latency"`` or ``"errors"``.
        value: the last value that was judged; None while there is too little to go by.
    """

    def __init__(
        self,
        breaker: Breaker,
        measure: str = "latency",
        *,
        upper: float | timedelta,
        lower: float | timedelta | None = None,
        window: float | timedelta = 60.0,
        percentile: float = 0.95,
        minimum: int = 10,
        every: float | timedelta | None = None,
    ) -> None:
        if measure not in MEASURES:
            raise unknown("measure", measure, MEASURES)
        high = seconds("upper", upper)
        low = high / 2 if lower is None else seconds("lower", lower, zero=True)
        if low >= high:
            raise ConfigError("lower", f"less than upper ({high})", low)
        if measure == "errors" and high > 1:
            raise ConfigError("upper", "a share above 0 and up to 1", high)
        if not is_real(percentile) or not 0 < percentile <= 1:
            raise ConfigError("percentile", "a number above 0 and up to 1", percentile)
        span = seconds("window", window)
        super().__init__(breaker, span / 12 if every is None else seconds("every", every))
        self.measure = measure
        self.value: float | None = None
        self._hysteresis = Hysteresis(high, low)
        self._latency = Latency(span, percentile, whole("minimum", minimum))
        self._errors = ErrorShare(span, minimum)
        if measure == "errors":
            self._read()

    @property
    def state(self) -> str:
        """``"ok"`` or ``"degraded"``."""
        return self._hysteresis.state

    @property
    def degraded(self) -> bool:
        """Whether it is worse than it should be."""
        return self.state == DEGRADED

    def observe(self, duration: float | timedelta) -> None:
        """Take in how long something on this connection took, in seconds.

        Raises:
            ConfigError: it is no duration, or errors are measured, which the circuit counts itself.
        """
        if self.measure != "latency":
            raise ConfigError("measure", "'latency', to observe durations", self.measure)
        self._latency.add(self.breaker.shared.clock(), seconds("duration", duration, zero=True))

    @contextmanager
    def timed(self) -> Generator[None, None, None]:
        """Observe how long the block takes; one that raises is not observed."""
        began = self.breaker.shared.clock()
        yield
        self.observe(self.breaker.shared.clock() - began)

    async def look(self, threads: trio.CapacityLimiter) -> None:
        """Judge what the window holds."""
        if self.measure == "errors":
            self._read()
            self.value = self._errors.value()
        else:
            self.value = self._latency.value(self.breaker.shared.clock())
        before = self.state
        if self.value is not None and self._hysteresis.judge(self.value):
            fields: dict[str, Any] = {
                "quality": self.state,
                "previous": before,
                "measure": self.measure,
                "value": self.value,
                "limit": self._hysteresis.limit,
                "reason": None,
            }
            self.breaker.announce("quality_changed", fields)

    def _read(self) -> None:
        status = self.breaker.status()
        self._errors.read(self.breaker.shared.clock(), status.successes, status.failures)
