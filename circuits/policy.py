"""When a circuit opens, how long it stays open, and what closes it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from brama.telemetry import ConfigError, unknown

from .options import seconds, whole

__all__ = ["OPTIONS", "Policy", "check_options"]

STRATEGIES = ("fixed", "progressive")
ALIASES = {"max_attempts": "failure_threshold"}  # the word of the Elixir library


def _seconds(*, derived: bool = False) -> Any:
    def convert(value: Any, _self: Any, field: attrs.Attribute[Any]) -> Any:
        return None if derived and value is None else seconds(field.name, value)

    return attrs.Converter(convert, takes_self=True, takes_field=True)


def _whole(_self: Any, field: attrs.Attribute[Any], value: Any) -> None:
    whole(field.name, value)


def _exceptions(value: Any, _self: Any, field: attrs.Attribute[Any]) -> tuple[Any, ...]:
    kinds = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ConfigError(field.name, "exception classes", value)
    return tuple(kinds)


_kinds = attrs.Converter(_exceptions, takes_self=True, takes_field=True)


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
    expiry: float = attrs.field(default=60.0, converter=_seconds())
    expiry_strategy: str = attrs.field(default="fixed")
    initial_expiry: float = attrs.field(default=None, converter=_seconds(derived=True))
    max_expiry: float = attrs.field(default=None, converter=_seconds(derived=True))
    backoff_factor: float = attrs.field(default=2.0)
    jitter: float = attrs.field(default=0.1)
    half_open_max_calls: int = attrs.field(default=1, validator=_whole)
    success_threshold: int = attrs.field(default=1, validator=_whole)
    half_open_timeout: float = attrs.field(default=None, converter=_seconds(derived=True))
    ignore: tuple[type[BaseException], ...] = attrs.field(default=(), converter=_kinds)
    record: tuple[type[BaseException], ...] = attrs.field(default=(Exception,), converter=_kinds)

    @expiry_strategy.validator
    def _check_strategy(self, _field: Any, value: Any) -> None:
        if value not in STRATEGIES:
            raise unknown("expiry_strategy", value, STRATEGIES)

    @backoff_factor.validator
    def _check_factor(self, _field: Any, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e6:
            raise ConfigError("backoff_factor", "a number >= 1", value)

    @jitter.validator
    def _check_jitter(self, _field: Any, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ConfigError("jitter", "a number from 0 to 1", value)

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
            if getattr(self, option) is None:
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
        named[name] = value
    return named
