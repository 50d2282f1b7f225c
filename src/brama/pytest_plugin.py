"""Fixtures for the tests of users; pytest finds them by itself once Brama is installed.

``brama_system``: a system of the test's own, which is the default one while it runs.
``brama_clock``: that system's clock, standing still until ``advance``.
``brama_events``: all events of that system, as `brama.circuits.testing.CapturedEvents`.
``brama_deactivated``: the circuits of the default system let every call through, uncounted.
``brama_spans``, ``brama_logs``, ``brama_metrics``: what Brama tells OpenTelemetry of the test, as
`brama.telemetry.testing.CapturedSpans`, `CapturedLogs` and `CapturedMetrics`.
``brama_telemetry``: the three in one, as `brama.telemetry.testing.CapturedTelemetry`.

The mark ``brama_telemetry`` has options for the latter four, those of
`brama.telemetry.testing.capture_telemetry`:

    @pytest.mark.brama_telemetry(spans="calls")
    def test_charging_is_one_span(brama_spans): ...
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from brama import System
    from brama.circuits.testing import CapturedEvents, FakeClock
    from brama.telemetry.testing import (
        CapturedLogs,
        CapturedMetrics,
        CapturedSpans,
        CapturedTelemetry,
    )

__all__ = [
    "brama_clock",
    "brama_deactivated",
    "brama_events",
    "brama_logs",
    "brama_metrics",
    "brama_spans",
    "brama_system",
    "brama_telemetry",
]


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        'brama_telemetry(spans="exceptional", span_relationship="child"): how brama_spans, '
        "brama_logs and brama_metrics capture",
    )


@pytest.fixture
def brama_clock() -> FakeClock:
    """A clock that stands still; with `brama_system` it is the clock of its circuits."""
    from brama.circuits.testing import FakeClock

    return FakeClock()


@pytest.fixture
def brama_system(request: pytest.FixtureRequest) -> Iterator[System]:
    """A system that only this test knows; the functions of `brama` act on it meanwhile.

    Circuits that were made before, by decorators at import for example, stay in the former system.
    """
    from brama import Settings, System
    from brama.default import replace_default

    settings = Settings.from_environment()
    if "brama_clock" in request.fixturenames:
        settings.clock = request.getfixturevalue("brama_clock")
    system = System(settings, name="test")
    former = replace_default(system)
    try:
        yield system
    finally:
        replace_default(former)
        system.stop()


@pytest.fixture
def brama_events(brama_system: System) -> Iterator[CapturedEvents]:
    """All events of `brama_system`."""
    from brama.circuits.testing import capture_events

    with capture_events(system=brama_system) as events:
        yield events


@pytest.fixture
def brama_deactivated() -> Iterator[None]:
    """All circuits of the default system let through and count nothing."""
    from brama.circuits.testing import deactivated

    with deactivated():
        yield


@pytest.fixture
def brama_telemetry(request: pytest.FixtureRequest) -> Iterator[CapturedTelemetry]:
    """What Brama tells of the test to OpenTelemetry, kept in memory.

    No global provider is set, and `brama.telemetry.configure` does nothing meanwhile.
    """
    from brama.telemetry.testing import capture_telemetry

    mark = request.node.get_closest_marker("brama_telemetry")
    with capture_telemetry(**({} if mark is None else mark.kwargs)) as told:
        yield told


@pytest.fixture
def brama_spans(brama_telemetry: CapturedTelemetry) -> CapturedSpans:
    """The spans, as plain dicts with small numbers for ids and without times."""
    return brama_telemetry.spans


@pytest.fixture
def brama_logs(brama_telemetry: CapturedTelemetry) -> CapturedLogs:
    """The log events, as plain dicts."""
    return brama_telemetry.logs


@pytest.fixture
def brama_metrics(brama_telemetry: CapturedTelemetry) -> CapturedMetrics:
    """What the test has counted: it begins at 0, whatever the process has counted before."""
    return brama_telemetry.metrics
