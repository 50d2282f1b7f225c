"""What opens a closed circuit: the conditions that a policy can name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Protocol, runtime_checkable

import attrs

from brama.telemetry import ConfigError, takes_only

from .options import seconds, whole
from .outcome import Outcome

__all__ = ["AnyOf", "ConsecutiveFailures", "CountWindow", "TimeWindow", "TripPolicy", "any_of"]

MOST_BUCKETS = 100_000
"""Each weighs 24 bytes."""

LEAST_WIDTH = 1e-6
"""Seconds; a monotonic clock tells nothing shorter apart."""


@runtime_checkable
class TripPolicy(Protocol):
    """A condition of one's own: a frozen, comparable value that makes watchers.

    Example:
        >>> @attrs.frozen
        ... class Timeouts:
        ...     most: int = 2
        ...     def watch(self) -> Callable[[Outcome], object]:
        ...         seen = 0
        ...         def see(outcome: Outcome) -> bool:
        ...             nonlocal seen
        ...             seen += isinstance(outcome.error, TimeoutError)
        ...             return seen >= self.most
        ...         return see
        >>> policy = Policy(trip=Timeouts(3))

    Threads: a watcher is called in the threads of the guarded calls, never under a lock, by one of
    them at a time and in the order in which the calls were settled.

    Failure: a watcher that raises is logged, and the outcome says nothing to it.
    """

    def watch(self) -> Callable[[Outcome], object]:
        """A new watcher, for one stay in closed.

        It is called with each outcome that is not neutral, and opens the circuit by an answer
        that is true; a text is the reason.
        """
        ...


def _whole(_trip: object, field: attrs.Attribute[int], value: int) -> None:
    whole(field.name, value)


def _size(value: int) -> int:
    # Not a validator: these come too late for the default of `minimum`, which follows from it.
    return whole("size", value)


def _rate(_trip: object, field: attrs.Attribute[float], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ConfigError(field.name, "a number above 0 and up to 1", value)


def _usual_minimum(size: Any) -> int:
    """Of a window of that size; it is made before the size is looked at."""
    return min(10, size) if isinstance(size, int) else 10


def _seconds(value: float | timedelta) -> float:
    return seconds("seconds", value)


@attrs.frozen
class ConsecutiveFailures:
    """Opens after some failures in a row. The default of every policy.

    Example:
        >>> ConsecutiveFailures(5)
        ConsecutiveFailures(failures=5)

    Args:
        failures: how many, none of them followed by a success. With `Policy.slow_after`, as many
            slow calls in a row open the circuit, too.
    """

    failures: int = attrs.field(default=5, validator=_whole)


_WORDS = {
    "window_size": "size",
    "failure_rate": "rate",
    "threshold": "rate",
    "min_calls": "minimum",
    "minimum_calls": "minimum",
    "window": "seconds",
    "duration": "seconds",
    "period": "seconds",
}


@takes_only("an option of a window of calls", _WORDS)
@attrs.frozen
class CountWindow:
    """Opens when too many of the last calls failed.

    Example:
        >>> CountWindow(size=20, rate=0.5)
        CountWindow(size=20, rate=0.5, minimum=10)

    Args:
        size: how many calls it looks back at. Neutral ones are none.
        rate: share of failures among them that opens the circuit.
        minimum: calls that must have ended before it judges; 10 by default, at most `size`.
    """

    size: int = attrs.field(default=100, converter=_size)
    rate: float = attrs.field(default=0.5, validator=_rate)
    minimum: int = attrs.field(
        default=attrs.Factory(lambda trip: _usual_minimum(trip.size), takes_self=True),
        validator=_whole,
    )

    def __attrs_post_init__(self) -> None:
        if self.minimum > self.size:
            raise ConfigError("minimum", f"at most size ({self.size})", self.minimum)


@takes_only("an option of a window of time", _WORDS)
@attrs.frozen
class TimeWindow:
    """Opens when too many of the calls of the last seconds failed.

    Example:
        >>> TimeWindow(seconds=10, buckets=20).width
        0.5

    Args:
        seconds: how far it looks back; a `timedelta` is accepted, and so is less than a second.
        buckets: parts that the time is divided into; calls are forgotten one part at a time. As
            many as there are whole seconds by default, but from 10 to 60.
        rate: share of failures that opens the circuit.
        minimum: calls that must have ended within the window before it judges.
    """

    seconds: float = attrs.field(default=60.0, converter=_seconds)
    buckets: int = attrs.field(
        default=attrs.Factory(lambda trip: max(10, min(60, int(trip.seconds))), takes_self=True),
        validator=_whole,
    )
    rate: float = attrs.field(default=0.5, validator=_rate)
    minimum: int = attrs.field(default=10, validator=_whole)

    def __attrs_post_init__(self) -> None:
        if self.buckets > MOST_BUCKETS:
            raise ConfigError("buckets", f"at most {MOST_BUCKETS}", self.buckets)
        if self.width < LEAST_WIDTH:
            raise ConfigError(
                "seconds",
                f"at least {LEAST_WIDTH:g} s for each of {self.buckets} buckets",
                self.seconds,
            )

    @property
    def width(self) -> float:
        """Seconds of one bucket."""
        return self.seconds / self.buckets


def _conditions(value: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(value)


@attrs.frozen
class AnyOf:
    """Opens when any of its conditions does; see `any_of`."""

    conditions: tuple[Any, ...] = attrs.field(converter=_conditions)

    def __attrs_post_init__(self) -> None:
        if not self.conditions:
            raise ConfigError("any_of", "one condition or more", self.conditions)
        flat: list[Any] = []
        for condition in self.conditions:
            check_trip(condition)
            flat.extend(condition.conditions if isinstance(condition, AnyOf) else (condition,))
        object.__setattr__(self, "conditions", tuple(flat))


Trip = ConsecutiveFailures | CountWindow | TimeWindow | AnyOf | TripPolicy


def any_of(*conditions: Trip) -> AnyOf:
    """A condition that opens the circuit when any of `conditions` does.

    Example:
        >>> trip = any_of(ConsecutiveFailures(5), TimeWindow(seconds=60, rate=0.2))
    """
    return AnyOf(conditions)


def check_trip(value: Any) -> Trip:
    """`value` as a condition.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(value, type) or not isinstance(
        value, ConsecutiveFailures | CountWindow | TimeWindow | AnyOf | TripPolicy
    ):
        raise ConfigError(
            "trip",
            "ConsecutiveFailures, CountWindow, TimeWindow, any_of(...) or an object with watch()",
            value,
        )
    return value


def least_failures(trip: Trip) -> int:
    """The fewest failures that can open a circuit under `trip`, as far as we can know."""
    if isinstance(trip, ConsecutiveFailures):
        return trip.failures
    if isinstance(trip, CountWindow | TimeWindow):
        return max(1, least(trip.rate, trip.minimum))
    if isinstance(trip, AnyOf):
        return min(least_failures(condition) for condition in trip.conditions)
    return 1


def least(rate: float, calls: int) -> int:
    """The fewest of `calls` that are a share of `rate`.

    Judged as the windows judge, by one division, so that 0.1 of 10 is 1 and not 2.
    """
    found = max(0, int(rate * calls) - 1)
    while found / calls < rate:
        found += 1
    return found
