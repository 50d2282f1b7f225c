"""A receiver, telemetry that exports to it, and OpenTelemetry's globals as in a new process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from opentelemetry import trace
from opentelemetry._logs import _internal as log_api
from opentelemetry.metrics import _internal as metrics_api
from opentelemetry.util._once import Once

from brama.telemetry import (
    Telemetry,
    capture,
    configure,
    export,
    faults,
    flags,
    metrics,
    pools,
    transition,
)
from brama.telemetry.testing import OtlpReceiver
from brama.telemetry.throttle import Throttle


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test installs and counts, the next one must not find.

    The API keeps its providers for the life of a process; only its private variables undo that.
    """
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics_api, "_METER_PROVIDER", None)
    monkeypatch.setattr(metrics_api, "_METER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(metrics_api, "_PROXY_METER_PROVIDER", metrics_api._ProxyMeterProvider())
    monkeypatch.setattr(metrics, "_registered", metrics._Registered())
    monkeypatch.setattr(export._Installed, "handle", None)
    monkeypatch.setattr(export._Installed, "tracers", None)
    monkeypatch.setattr(export._Installed, "meters", None)
    monkeypatch.setattr(faults, "_throttle", Throttle())
    monkeypatch.setattr(log_api, "_LOGGER_PROVIDER", None)
    monkeypatch.setattr(log_api, "_LOGGER_PROVIDER_SET_ONCE", Once())
    monkeypatch.setattr(export._Installed, "loggers", None)
    for counts in metrics._counts:
        counts.after_fork()
    for histogram in metrics.histograms:
        histogram.forget()
    monkeypatch.setattr(metrics, "_sources", metrics._Sources())
    faults._errors.clear()
    flags.reset()
    pools.reset()
    # Tests of log lines ask for these; the others would find them among theirs.
    monkeypatch.setattr(logging.getLogger("brama.circuits"), "disabled", True)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def telemetry(receiver: OtlpReceiver) -> Iterator[Telemetry]:
    """Exports to `receiver`, whatever the environment of the tests says."""
    with configure(endpoint=receiver.endpoint, service_name="checkout", environ={}) as telemetry:
        yield telemetry


@pytest.fixture(scope="session")
def new_python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run code in a new interpreter, with these `OTEL_*` variables and no others."""

    def new_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: text for name, text in os.environ.items() if "OTEL_" not in name}
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=inherited | variables
        )

    return new_python


@pytest.fixture
def trip() -> Callable[..., object]:
    """Open the circuit ``payment_api`` as a breaker does; returns what `transition` gave."""

    def trip(**changes: object) -> object:
        arguments = {
            "connection": "payment_api",
            "scope": "payments",
            "previous": "closed",
            "new": "open",
            "reason": "Timeout",
            "time_ns": time.time_ns(),
        }
        return transition(capture(), **(arguments | changes))

    return trip
