"""Where spans and counts go: the provider given to `configure()`, else the application's.

Brama depends on OpenTelemetry's API and works without an SDK. Here is the one place that asks
whether a real provider is there. It must ask cheaply, for a breaker does so under its lock, and
without importing anything: as long as nobody has imported OpenTelemetry's API, there is neither
a provider nor a span to find.

The API keeps its providers in two module variables and has no hook for their being set; its
`get_tracer_provider()` reads the environment on every call until one is. So the variables are
read directly; a test fails should a release of the API rename them. Consequence: a provider
named by `OTEL_PYTHON_TRACER_PROVIDER` counts from the moment anyone has asked the API for it.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from .beacon import beacon
from .names import CIRCUIT, SCHEMA_URL

if TYPE_CHECKING:
    from opentelemetry._logs import Logger, LoggerProvider
    from opentelemetry.metrics import Meter, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

__all__ = [
    "choose",
    "current_meter_provider",
    "enforce",
    "global_logger_provider",
    "global_meter_provider",
    "global_tracer_provider",
    "is_tracing",
    "logger",
    "meter",
    "prepare",
    "renew",
    "retire",
    "tracer",
    "tracing",
    "version",
    "watch",
    "withdraw",
]

_modules = sys.modules
# Invariant: guards changes of the slots below; reads take none. Reentrant, for a finalizer may
# choose or withdraw as well: the lists are changed in single steps, and the last one out prefers
# anew.
_lock = threading.RLock()
_chosen_tracers: list[TracerProvider] = []
_chosen_meters: list[MeterProvider] = []
_chosen_loggers: list[LoggerProvider] = []
_tracer_provider: TracerProvider | None = None  # the last of _chosen_tracers
_meter_provider: MeterProvider | None = None
_logger_provider: LoggerProvider | None = None
_watchers: list[Callable[[], object]] = []
_retired: weakref.WeakSet[Any] = weakref.WeakSet()
_enforced: weakref.WeakSet[Any] = weakref.WeakSet()


class _Seen:
    """What was found out about one tracer provider. Replaced whole, so readers need no lock."""

    __slots__ = ("on", "provider", "tracers")

    def __init__(self, provider: TracerProvider | None, on: bool) -> None:
        self.provider = provider
        self.on = on
        self.tracers: dict[str, Tracer] = {}


_seen = _Seen(None, on=False)


def tracing() -> bool:
    """Whether spans go anywhere. About 0.1 µs; imports nothing."""
    # `_look` once more, written out: every failure and every transition asks.
    provider = _tracer_provider
    if provider is None:
        api = _modules.get("opentelemetry.trace")
        provider = None if api is None else getattr(api, "_TRACER_PROVIDER", None)
    seen = _seen
    return seen.on if provider is seen.provider else _look().on


def is_tracing() -> bool:
    """What the last look has found; the watchers are told when the next one finds otherwise."""
    return _seen.on


def watch(changed: Callable[[], object]) -> None:
    """Call `changed` whenever another provider is found than before; it must be quick.

    It may run in the thread of a guarded call, under a breaker's lock.
    """
    _watchers.append(changed)


def tracer(scope: str) -> Tracer | None:
    """The tracer of `scope`, one of `brama.telemetry.names`; None when nobody is tracing."""
    seen = _look()
    if not seen.on or seen.provider is None:
        return None
    found = seen.tracers.get(scope)
    if found is None:
        found = seen.provider.get_tracer(scope, version(), SCHEMA_URL)
        seen.tracers[scope] = found
    return found


def prepare() -> None:
    """Have the tracer of the circuits ready, if anybody is tracing.

    The first look at a tracer loads modules for 10 ms: for those who want to make a span in a lock.

    Threads: any, outside of locks.
    Failure: none; whoever makes the span meets the fault again, and logs it.
    """
    with suppress(Exception):
        tracer(CIRCUIT)


def _look() -> _Seen:
    global _seen
    provider = _tracer_provider
    if provider is None:
        provider = global_tracer_provider()
    seen = _seen
    if provider is not seen.provider:
        _seen = seen = _Seen(provider, on=_is_real(provider))
        _tell()
    return seen


def _tell() -> None:
    for changed in _watchers:
        changed()


def _is_real(provider: TracerProvider | None) -> bool:
    if provider is None or provider in _retired:
        return False
    if provider in _enforced:
        return True
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider

    return not isinstance(provider, NoOpTracerProvider | ProxyTracerProvider)


def current_meter_provider() -> MeterProvider | None:
    """The provider that counts go to; None when there is none yet. Imports nothing."""
    if _meter_provider is not None:
        return _meter_provider
    # `global_meter_provider` once more, written out: every event asks.
    api = _modules.get("opentelemetry.metrics._internal")
    return None if api is None else getattr(api, "_METER_PROVIDER", None)


def global_tracer_provider() -> TracerProvider | None:
    """What the application has installed in the API; None when nothing. Imports nothing."""
    api = _modules.get("opentelemetry.trace")
    # Another thread may be half-way through the import: then the variable is not there yet.
    return None if api is None else getattr(api, "_TRACER_PROVIDER", None)


def global_meter_provider() -> MeterProvider | None:
    """The same for metrics."""
    api = _modules.get("opentelemetry.metrics._internal")
    return None if api is None else getattr(api, "_METER_PROVIDER", None)


def global_logger_provider() -> LoggerProvider | None:
    """The same for log records."""
    api = _modules.get("opentelemetry._logs._internal")
    return None if api is None else getattr(api, "_LOGGER_PROVIDER", None)


def logger(scope: str) -> Logger | None:
    """The logger of `scope`; None when log records go nowhere."""
    provider = global_logger_provider() if _logger_provider is None else _logger_provider
    if provider is None or provider in _retired:
        return None
    return provider.get_logger(scope, version(), SCHEMA_URL)


def meter(provider: MeterProvider, scope: str) -> Meter:
    """The meter of `scope` from `provider`."""
    return provider.get_meter(scope, version(), SCHEMA_URL)


def choose(
    tracers: TracerProvider | None,
    meters: MeterProvider | None,
    loggers: LoggerProvider | None = None,
) -> None:
    """Prefer these to the application's, until `withdraw`."""
    with _lock:
        if tracers is not None:
            _chosen_tracers.append(tracers)
        if meters is not None:
            _chosen_meters.append(meters)
        if loggers is not None:
            _chosen_loggers.append(loggers)
        _prefer_the_last()
    renew()


def withdraw(
    tracers: TracerProvider | None,
    meters: MeterProvider | None,
    loggers: LoggerProvider | None = None,
) -> None:
    """Undo `choose`; what was chosen before it, or the application's own, counts again."""
    with _lock:
        if tracers in _chosen_tracers:
            _chosen_tracers.remove(tracers)
        if meters in _chosen_meters:
            _chosen_meters.remove(meters)
        if loggers in _chosen_loggers:
            _chosen_loggers.remove(loggers)
        _prefer_the_last()
    renew()


def enforce(provider: TracerProvider) -> None:
    """Make spans for `provider` whatever the environment says; it is a test's."""
    _enforced.add(provider)


def retire(provider: object) -> None:
    """Make nothing more for `provider`: it was shut down, but the API cannot forget it."""
    global _seen
    with _lock:
        _retired.add(provider)
        _seen = _Seen(None, on=False)
    renew()


def renew() -> None:
    """Look at once, for the flags that others keep, and tell them in any case."""
    _look()
    _tell()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()  # whoever held it is not there to release it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _prefer_the_last() -> None:
    global _tracer_provider, _meter_provider, _logger_provider
    _tracer_provider = _chosen_tracers[-1] if _chosen_tracers else None
    beacon.choose(_tracer_provider)
    _meter_provider = _chosen_meters[-1] if _chosen_meters else None
    _logger_provider = _chosen_loggers[-1] if _chosen_loggers else None


@cache
def version() -> str:
    """Brama's version, for the scope of spans and metrics. Read late: it costs milliseconds."""
    from importlib import metadata

    try:
        return metadata.version("brama")
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
