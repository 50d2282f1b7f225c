"""Fixtures for the tests of users; pytest finds them by itself once Brama is installed.

``brama_system``: a system of the test's own, which is the default one while it runs.
``brama_clock``: that system's clock, standing still until ``advance``.
``brama_events``: all events of that system, as `brama.circuits.testing.CapturedEvents`.
``brama_deactivated``: the circuits of the default system let every call through, uncounted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from brama import System
    from brama.circuits.testing import CapturedEvents, FakeClock

__all__ = ["brama_clock", "brama_deactivated", "brama_events", "brama_system"]


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
    from brama.system import replace_default

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
