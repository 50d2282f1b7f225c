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
