"""The clock for the tests of users."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from brama.circuits.testing import FakeClock
from brama.telemetry import ConfigError


def test_the_clock_stands_still_until_it_is_advanced():
    clock = FakeClock()
    assert [clock(), clock()] == [0.0, 0.0]
    assert clock.advance(1.5) == 1.5
    assert clock() == 1.5


def test_the_clock_may_start_anywhere_and_go_on_by_a_timedelta():
    clock = FakeClock(100)
    clock.advance(timedelta(minutes=1))
    assert clock() == 160.0
    assert repr(clock) == "<FakeClock at 160.0 s>"


@pytest.mark.parametrize("by", [-1, float("nan"), "1", None])
def test_the_clock_never_goes_back(by):
    clock = FakeClock(5.0)
    with pytest.raises(ConfigError, match="by must be a number of seconds >= 0, got: "):
        clock.advance(by)
    assert clock() == 5.0


def test_advances_from_many_threads_add_up():
    clock = FakeClock()

    def advance():
        for _ in range(2000):
            clock.advance(1)

    threads = [threading.Thread(target=advance) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock() == 16_000.0
