"""Whether exporting works: one line a minute of ours instead of the SDK's many.

With a dead collector the SDK logs each retry of each batch, and with a full queue each span.
An operator needs to know that telemetry is being lost, since when, how much, and the last thing
that the exporter said about it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import weakref
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from . import metrics, providers
from .faults import LOGGER, errors
from .forks import renew_after_fork
from .throttle import Throttle

__all__ = ["ExportHealth", "TelemetryHealth", "hush", "last_words", "telemetry_health"]

_CHATTY: Final = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc._log_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.grpc.metric_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._logs._internal",
    "opentelemetry.sdk._logs._internal.export",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal",
    "opentelemetry.sdk.metrics._internal.export",
    "opentelemetry.sdk.trace",
)

_WITHOUT_A_REASON: Final = ("due to timeout, max retries", "Shutdown in progress", "shutdown, ign")
_ABOUT: Final = re.compile(r"\bexport(?:ing)? (spans|traces|metrics|logs)\b")


class _Hush(logging.Filter):
    """Keeps the exporters' lines to their DEBUG level, and remembers the last that said why."""

    last: str = ""

    def __init__(self) -> None:
        super().__init__()
        self._of: dict[str, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not any(words in message for words in _WITHOUT_A_REASON):
            self.last = message
            about = _ABOUT.search(message)
            if about is not None:
                self._of["traces" if about[1] == "spans" else about[1]] = message
        return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)

    def of(self, signal: str) -> str:
        """The last words about this signal, for all three fail at the same time; else of any."""
        return self._of.get(signal) or self.last


_hush: Final = _Hush()
_throttle: Final = Throttle()  # one for all signals: at most one line a minute from us


def hush() -> None:
    """Silence the exporters' own loggers; set one of them to DEBUG to hear it again."""
    for name in _CHATTY:
        logging.getLogger(name).addFilter(_hush)  # a filter is added once, however often asked


def last_words(*, forget: bool = False) -> str:
    """What an exporter last said about a failure; "" when none has said anything."""
    words = _hush.last
    if forget:
        _hush.last = ""
    return words


class ExportHealth:
    """What became of the exports of one signal.

    Threads: any.
    """

    def __init__(self, signal: str, where: str, throttle: Throttle | None = None) -> None:
        self.failures = 0
        self.lost_items = 0
        self._signal = signal
        self._where = where
        self._throttle = throttle or _throttle
        self._since: float | None = None
        # Invariant: guards the counts and _since. Reentrant: a line that is logged elsewhere, by a
        # finalizer in the middle of it, may find its export failing as well.
        self._lock = threading.RLock()
        renew_after_fork(self)

    @property
    def failing_since(self) -> float | None:
        """POSIX time of the first of the exports that have failed in a row, or None."""
        return self._since

    def show(self) -> None:
        """It is one of those that `telemetry_health` tells of, until `hide`."""
        _exports.add(self)

    def hide(self) -> None:
        """Its export has ended."""
        _exports.discard(self)

    def settle(self, delivered: bool, items: int) -> None:
        """An export of so many items has ended."""
        if delivered:
            self.delivered()
        else:
            self.lost(items)

    def delivered(self) -> None:
        """An export arrived."""
        with self._lock:
            self._since = None
            self.lost_items = 0

    def lost(self, items: int) -> None:
        """An export of so many spans, metrics or log records failed for good."""
        with self._lock:
            self.failures += 1
            self.lost_items += items
            if self._since is None:
                self._since = time.time()
            since, lost = self._since, self.lost_items
        metrics.lost.add(self._signal, count=items)
        if self._throttle.admit() is not None:
            LOGGER.warning(
                "exporting %s to %s has been failing since %s, %d lost; the service is "
                "unaffected. The exporter's last words: %s",
                self._signal,
                self._where,
                time.strftime("%H:%M:%S", time.localtime(since)),
                lost,
                _hush.of(self._signal) or "none",
            )

    def after_fork(self) -> None:
        """Whoever held the lock is not there to release it."""
        self._lock = threading.RLock()


_exports: Final[weakref.WeakSet[ExportHealth]] = weakref.WeakSet()


@attrs.frozen(kw_only=True)
class TelemetryHealth:
    """Whether telemetry works, in this process.

    Attributes:
        tracing: spans go somewhere: to an endpoint of Brama's or to the application's own provider.
        exporting: `configure` has set up an export; of an application's own nothing more is known.
        failing_since: POSIX time since which exports fail, or None.
        lost: spans, metrics and log records that could not be exported, by signal.
        held_back: spans and log events beyond the limit, by kind; they were counted and not made.
        errors: faults of telemetry itself, by kind.
    """

    tracing: bool
    exporting: bool
    failing_since: float | None
    lost: Mapping[str, int]
    held_back: Mapping[str, int]
    errors: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "tracing": self.tracing,
            "exporting": self.exporting,
            "failing_since": self.failing_since,
            "lost": dict(self.lost),
            "held_back": dict(self.held_back),
            "errors": dict(self.errors),
        }


def telemetry_health() -> TelemetryHealth:
    """How telemetry does at this instant.

    Threads: any.
    """
    exports = list(_exports)
    failing = [since for one in exports if (since := one.failing_since) is not None]
    return TelemetryHealth(
        tracing=providers.tracing(),
        exporting=bool(exports),
        failing_since=min(failing, default=None),
        lost=_plain(metrics.lost),
        held_back=_plain(metrics.held_back),
        errors=MappingProxyType(errors()),
    )


def _plain(counts: metrics.Counts) -> Mapping[str, int]:
    return MappingProxyType({kind: number for (kind,), number in counts.snapshot().items()})
