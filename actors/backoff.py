"""Waiting before a restart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from attrs import Factory, field, frozen

from brama.telemetry import ConfigError, takes_only

from .durations import duration

__all__ = ["Backoff"]


def _min(value: float | timedelta) -> float:
    return duration("Backoff.min", value)


def _max(value: float | timedelta) -> float:
    return duration("Backoff.max", value)


def _reset_after(value: float | timedelta) -> float:
    return duration("Backoff.reset_after", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@takes_only("an option of a back-off")
@frozen
class Backoff:
    """Waiting before a restart: ``min`` seconds, then ``factor`` times longer, at most ``max``.

    The supervisor goes on with its work meanwhile. Each restart still counts for the intensity.

    Example:
        >>> backoff = Backoff(min=1.0, max=10.0, jitter=0.0)
        >>> [backoff.delay(failures, lambda: 0.5) for failures in (1, 2, 3, 4, 5)]
        [1.0, 2.0, 4.0, 8.0, 10.0]

    Options:
        min: the first wait (0.1 s). A `timedelta` is accepted here and below.
        max: the longest (30 s).
        factor: growth per restart (2.0).
        jitter: the wait is spread by this share up and down (0.2), so that many children do not
            come back at the same moment.
        reset_after: a child that lived this long begins again at ``min`` (default: ``max``).

    Source: Akka's ``restart with backoff``. OTP has none and restarts at once.
    """

    min: float = field(default=0.1, converter=_min)
    max: float = field(default=30.0, converter=_max)
    factor: float = field(default=2.0)
    jitter: float = field(default=0.2)
    reset_after: float = field(
        default=Factory(lambda backoff: backoff.max, takes_self=True), converter=_reset_after
    )

    def __attrs_post_init__(self) -> None:
        if self.max < self.min:
            raise ConfigError("Backoff.max", f"at least Backoff.min ({self.min})", self.max)
        if not _is_number(self.factor) or not self.factor >= 1:
            raise ConfigError("Backoff.factor", "a number, 1 or more", self.factor)
        if not _is_number(self.jitter) or not 0 <= self.jitter < 1:
            raise ConfigError("Backoff.jitter", "a share from 0 to below 1", self.jitter)

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds before restart ``failures`` (from 1); ``random()`` is uniform in [0, 1)."""
        # The exponent is bounded, or a child that fails for a year would overflow a float.
        wait = min(self.max, self.min * self.factor ** min(failures - 1, 64))
        return min(self.max, wait * (1 + self.jitter * (2 * random() - 1)))
