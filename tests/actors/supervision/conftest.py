"""Time that flows and can be jumped: blocking actors need real time, deadlines virtual."""

from __future__ import annotations

import pytest
import trio.testing

from .workers import KINDS


@pytest.fixture(params=KINDS, ids=["inline", "async", "blocking"])
def worker(request):
    return request.param


@pytest.fixture
def clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Goes at the rate of real time; `jump` skips what a test does not want to wait for."""
    mock_clock.rate = 1.0
    return mock_clock
