"""One line a minute, and how many it stands for."""

from __future__ import annotations

from brama.telemetry.throttle import Throttle


def test_one_is_admitted_per_interval_and_the_others_are_counted() -> None:
    now = [0.0]
    throttle = Throttle(60.0, clock=lambda: now[0])

    admitted = []
    for now[0] in (0.0, 1.0, 59.9, 60.0, 61.0, 1000.0):
        admitted.append(throttle.admit())

    assert admitted == [0, None, None, 2, None, 1]


def test_a_burst_is_admitted_at_once_and_then_one_per_interval() -> None:
    now = [0.0]
    throttle = Throttle(1.0, burst=3, clock=lambda: now[0])

    admitted = [throttle.admit() for _ in range(5)]
    now[0] = 1.0
    admitted += [throttle.admit() for _ in range(2)]
    now[0] = 100.0
    admitted += [throttle.admit() for _ in range(4)]

    assert admitted == [0, 0, 0, None, None, 2, None, 1, 0, 0, None]


def test_a_look_counts_what_is_held_back_and_takes_nothing_otherwise() -> None:
    now = [0.0]
    throttle = Throttle(1.0, clock=lambda: now[0])

    assert not throttle.holds_back()
    assert throttle.admit() == 0
    assert throttle.holds_back()
    now[0] = 1.0
    assert not throttle.holds_back()
    assert throttle.admit() == 1
