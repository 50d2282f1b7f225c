"""Durations as users give them: seconds, a ``timedelta``, or a word such as ``"infinity"``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from brama.telemetry import ConfigError

__all__ = ["INFINITY", "duration", "patience"]

INFINITY = MappingProxyType({"infinity": float("inf")})
"""OTP's word for "as long as it takes"."""

_NO_WORDS: Mapping[str, float] = MappingProxyType({})


def duration(
    option: str, value: Any, *, zero: bool = False, words: Mapping[str, float] = _NO_WORDS
) -> float:
    """``value`` in seconds.

    Args:
        option: named in the error.
        zero: whether 0 is allowed.
        words: what else is accepted, and what it stands for.

    Raises:
        ConfigError: it is no duration, negative, or 0 where that makes no sense.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    elif isinstance(value, str) and value in words:
        return words[value]
    expected = "a number of seconds, 0 or more" if zero else "a positive number of seconds"
    if words:
        expected = ", or ".join([expected, *map(repr, words)])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(option, expected, value)
    if not (value >= 0 if zero else value > 0):  # also what is not a number at all
        raise ConfigError(option, expected, value)
    return _float(value)


def patience(timeout: Any) -> float | None:
    """A ``timeout`` of somebody who waits, in seconds; None for as long as it takes.

    Less than nothing is nothing: that is what a deadline which has passed leaves over.

    Raises:
        ConfigError: it is no duration.
    """
    if timeout is None:
        return None
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout:
        raise ConfigError("timeout", "a number of seconds, or None", timeout)
    return max(0.0, _float(timeout))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return float("inf")
