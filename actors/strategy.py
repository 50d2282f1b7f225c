"""What a supervisor decides: pure rules, without a clock, a loop or an actor.

Source: Erlang/OTP ``supervisor``; the tables of its *Design Principles*, "Supervision Principles".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

from attrs import Factory, field, frozen

from brama.telemetry import ConfigError

from .exits import ExitReason

__all__ = ["Backoff", "Intensity", "Restart", "Strategy", "affected", "wants_restart"]

T = TypeVar("T")


class Restart(StrEnum):
    """When a child is restarted: always, ``transient`` unless it ended quietly, or never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Who is restarted with a child: nobody else, everybody, or those started after it."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


def wants_restart(restart: Restart, reason: ExitReason) -> bool:
    """Whether a child that ended for ``reason`` gets a successor."""
    if restart is Restart.PERMANENT:
        return True
    return restart is Restart.TRANSIENT and not reason.quiet


def affected(strategy: Strategy, order: Sequence[T], failed: T) -> Sequence[T]:
    """The children to end and start again, in start order, when ``failed`` has to be restarted."""
    if strategy is Strategy.ONE_FOR_ALL:
        return order
    if strategy is Strategy.REST_FOR_ONE:
        return order[order.index(failed) :]
    return (failed,)


class Intensity:
    """OTP's restart intensity: at most ``intensity`` restarts within ``period`` seconds.

    A restart exactly ``period`` seconds old still counts. OTP counts in whole seconds, which makes
    its true window up to a second longer; this one is exact.
    """

    __slots__ = ("_instants", "intensity", "period")

    def __init__(self, intensity: int, period: float) -> None:
        if type(intensity) is not int or intensity < 0:
            raise ConfigError("intensity", "a number of restarts, 0 or more", intensity)
        if not period > 0:
            raise ConfigError("period", "a positive number of seconds", period)
        self.intensity = intensity
        self.period = period
        self._instants: deque[float] = deque()

    def allows(self, now: float) -> bool:
        """Count a restart at the monotonic second ``now``; False when it is one too many."""
        instants = self._instants
        while instants and instants[0] < now - self.period:
            instants.popleft()
        instants.append(now)
        return len(instants) <= self.intensity

    def used(self, now: float) -> int:
        """Restarts within the window that ends ``now``."""
        return sum(1 for instant in self._instants if instant >= now - self.period)


def _positive(_instance: object, attribute: object, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"Backoff.{attribute.name}", "a positive number of seconds", value)  # type: ignore[attr-defined]


@frozen
class Backoff:
    """Waiting before a restart: ``min`` seconds, then ``factor`` times longer, at most ``max``.

    The supervisor goes on with its work meanwhile. Each restart still counts for the intensity.

    Options:
        min: the first wait (0.1 s).
        max: the longest (30 s).
        factor: growth per restart (2.0).
        jitter: the wait is spread by this share up and down (0.2), so that many children do not
            come back at the same moment.
        reset_after: a child that lived this long begins again at ``min`` (default: ``max``).
    """

    min: float = field(default=0.1, validator=_positive)
    max: float = field(default=30.0, validator=_positive)
    factor: float = field(default=2.0)
    jitter: float = field(default=0.2)
    reset_after: float = field(
        default=Factory(lambda backoff: backoff.max, takes_self=True), validator=_positive
    )

    def __attrs_post_init__(self) -> None:
        if self.max < self.min:
            raise ConfigError("Backoff.max", f"at least Backoff.min ({self.min})", self.max)
        if not self.factor >= 1:
            raise ConfigError("Backoff.factor", "a number, 1 or more", self.factor)
        if not 0 <= self.jitter < 1:
            raise ConfigError("Backoff.jitter", "a share from 0 to below 1", self.jitter)

    def delay(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds before restart ``failures`` (from 1); ``random()`` is uniform in [0, 1)."""
        # The exponent is bounded, or a child that fails for a year would overflow a float.
        wait = min(self.max, self.min * self.factor ** min(failures - 1, 64))
        return min(self.max, wait * (1 + self.jitter * (2 * random() - 1)))
