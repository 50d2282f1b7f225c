"""When a circuit opens, how long it stays open, and what closes it again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import attrs

from brama.telemetry import ConfigError, unknown

from .options import seconds, whole

__all__ = ["OPTIONS", "Policy", "check_options"]

STRATEGIES = ("fixed", "progressive")
ALIASES = {"max_attempts": "failure_threshold"}  # the word of the Elixir library


FOLLOWS = -1.0  # stands for "what follows from expiry" until all options are known

# Named functions and not one factory: the type checkers read the types of options off them.


def _expiry(value: float | timedelta) -> float:
    return seconds("expiry", value)


def _initial_expiry(value: float | timedelta | None) -> float:
    return FOLLOWS if value is None else seconds("initial_expiry", value)


def _max_expiry(value: float | timedelta | None) -> float:
    return FOLLOWS if value is None else seconds("max_expiry", value)


def _half_open_timeout(value: float | timedelta | None) -> float:
    return FOLLOWS if value is None else seconds("half_open_timeout", value)


def _whole(_policy: object, field: attrs.Attribute[int], value: int) -> None:
    whole(field.name, value)


def _strategy(_policy: object, _field: object, value: str) -> None:
    if value not in STRATEGIES:
        raise unknown("expiry_strategy", value, STRATEGIES)


def _factor(_policy: object, _field: object, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e6:
        raise ConfigError("backoff_factor", "a number >= 1", value)


def _share(_policy: object, _field: object, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError("jitter", "a number from 0 to 1", value)


Kinds = type[BaseException] | Iterable[type[BaseException]]


def _ignore(value: Kinds) -> tuple[type[BaseException], ...]:
    return _exceptions("ignore", value)


def _record(value: Kinds) -> tuple[type[BaseException], ...]:
    return _exceptions("record", value)


def _exceptions(option: str, value: Any) -> tuple[type[BaseException], ...]:
    kinds = (value,) if isinstance(value, type) else value
    if isinstance(kinds, Iterable):
        kinds = tuple(kinds)
        if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            return kinds
    raise ConfigError(option, "exception classes", value)


@attrs.frozen(kw_only=True)
class Policy:
    """The rules of a circuit: frozen, comparable, shared by any number of circuits.

    Example:
        >>> Policy(failure_threshold=3, expiry=10.0).half_open_timeout
        10.0

    Args:
        failure_threshold: consecutive failures that open the circuit.
        expiry: seconds that the circuit stays open; a `timedelta` is accepted here and below.
        expiry_strategy: ``"fixed"``, or ``"progressive"``: each open in a row lasts longer.
        initial_expiry: progressive only: the first open time; `expiry` by default.
        max_expiry: progressive only: the longest open time; ten times `expiry` by default.
        backoff_factor: progressive only: growth from one open to the next; at least 1.
        jitter: progressive only: share of the open time that is drawn at random, 0 to 1.
        half_open_max_calls: probes that may be out at the same time.
        success_threshold: successful probes that close the circuit.
        half_open_timeout: seconds after which a probe without an outcome is presumed lost and
            its place is free again; `expiry` by default.
        ignore: exceptions that are neutral: neither success nor failure.
        record: exceptions that count as failures, unless `ignore` names them too. All others
            are neutral.

    Raises:
        ConfigError: an option is out of its bounds, or two of them contradict each other.
    """

    failure_threshold: int = attrs.field(default=5, validator=_whole)
    expiry: float = attrs.field(default=60.0, converter=_expiry)
    expiry_strategy: str = attrs.field(default="fixed", validator=_strategy)
    initial_expiry: float = attrs.field(default=None, converter=_initial_expiry)
    max_expiry: float = attrs.field(default=None, converter=_max_expiry)
    backoff_factor: float = attrs.field(default=2.0, validator=_factor)
    jitter: float = attrs.field(default=0.1, validator=_share)
    half_open_max_calls: int = attrs.field(default=1, validator=_whole)
    success_threshold: int = attrs.field(default=1, validator=_whole)
    half_open_timeout: float = attrs.field(default=None, converter=_half_open_timeout)
    ignore: tuple[type[BaseException], ...] = attrs.field(default=(), converter=_ignore)
    record: tuple[type[BaseException], ...] = attrs.field(default=(Exception,), converter=_record)

    def _derived(self) -> dict[str, float]:
        return {
            "initial_expiry": self.expiry,
            "max_expiry": 10 * self.expiry,
            "half_open_timeout": self.expiry,
        }

    def options(self) -> dict[str, Any]:
        """The options that make this policy; what follows from `expiry` is left out."""
        derived = self._derived()
        return {
            option: value
            for option in OPTIONS
            if derived.get(option) != (value := getattr(self, option))
        }

    def __attrs_post_init__(self) -> None:
        for option, value in self._derived().items():
            if getattr(self, option) == FOLLOWS:
                object.__setattr__(self, option, value)
        if self.max_expiry < self.initial_expiry:
            raise ConfigError(
                "max_expiry", f"at least initial_expiry ({self.initial_expiry} s)", self.max_expiry
            )


OPTIONS: tuple[str, ...] = tuple(field.name for field in attrs.fields(Policy))
"""The names of a policy's options."""


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` under their own names (``max_attempts`` becomes ``failure_threshold``).

    Raises:
        ConfigError: a name is unknown; the text lists the known ones and the nearest.
    """
    named: dict[str, Any] = {}
    for option, value in options.items():
        name = ALIASES.get(option, option)
        if name not in OPTIONS:
            raise unknown("an option of a circuit", option, OPTIONS)
        if name in ("ignore", "record") and isinstance(value, Iterator):
            value = tuple(value)  # read once, and asked for more often
        named[name] = value
    return named
