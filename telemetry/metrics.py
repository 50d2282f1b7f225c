"""Counts that Brama keeps itself and shows to OpenTelemetry when metrics are collected.

A synchronous `Counter.add` costs 3 to 7 µs with an SDK; a number in a dict a tenth of one. So
Brama counts in plain numbers, always, and an observable counter reads them at collection time.
Counts are therefore exact from the start of the process, also when a provider comes later.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from . import names
from .faults import swallow
from .forks import renew_after_fork
from .providers import current_meter_provider, meter

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

__all__ = ["Counts", "published", "register", "transitions"]


class Counts:
    """How often something happened, by the values of a metric's attributes.

    Example:
        >>> counts = Counts(names.PUBLISHED)
        >>> counts.add("state_change")
        >>> counts.snapshot()
        {('state_change',): 1}

    Threads: any.
    """

    def __init__(self, metric: names.MetricName) -> None:
        self.metric = metric
        self._counts: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()  # Invariant: _counts is touched under it only.
        renew_after_fork(self)

    def add(self, *values: str) -> None:
        """Count one, with the `values` of the metric's attributes in their order."""
        with self._lock:
            self._counts[values] = self._counts.get(values, 0) + 1

    def snapshot(self) -> dict[tuple[str, ...], int]:
        """The counts by attribute values."""
        with self._lock:
            return self._counts.copy()

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The counts as OpenTelemetry's reader wants them; called by it, in its thread."""
        from opentelemetry.metrics import Observation

        return [
            Observation(count, dict(zip(self.metric.attributes, values, strict=True)))
            for values, count in self.snapshot().items()
        ]

    def after_fork(self) -> None:
        """Start over: what the parent counted, the parent reports."""
        self._lock = threading.Lock()
        self._counts.clear()


transitions: Final = Counts(names.TRANSITIONS)
published: Final = Counts(names.PUBLISHED)


class _Registered:
    """The meter providers that know the counts."""

    def __init__(self) -> None:
        self._providers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._last: weakref.ref[MeterProvider] | None = None  # read without the lock: a shortcut
        self._lock = threading.Lock()  # Invariant: _providers is touched under it only.
        renew_after_fork(self)

    def add(self, provider: MeterProvider) -> bool:
        """Whether `provider` is new here."""
        if self._last is not None and self._last() is provider:
            return False
        with self._lock:
            new = provider not in self._providers
            self._providers.add(provider)
            self._last = weakref.ref(provider)
            return new

    def after_fork(self) -> None:
        """Whoever held the lock is not there to release it."""
        self._lock = threading.Lock()


_registered: Final = _Registered()


def register() -> None:
    """Show the counts to the current meter provider, unless it knows them.

    Called at each count, for there is no hook for an application's setting its provider. Cheap
    when there is nothing to do, and imports nothing. A provider that refuses is asked once.
    """
    provider = current_meter_provider()
    if provider is None or not _registered.add(provider):
        return
    try:
        for counts in (transitions, published):
            metric = counts.metric
            meter(provider, metric.scope).create_observable_counter(
                metric.name,
                callbacks=[counts.observe],
                unit=metric.unit,
                description=metric.description,
            )
    except Exception as error:  # noqa: BLE001 - metrics must not break what they count
        swallow("registering metrics", error)
