"""Durations as users give them: seconds, a ``timedelta``, or a word such as ``"infinity"``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from math import inf, isnan, nan
from types import MappingProxyType
from typing import Any

from brama.telemetry import ConfigError, is_real

__all__ = ["INFINITY", "duration", "patience"]

INFINITY = MappingProxyType({"infinity": inf})
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
    if isinstance(value, str) and value in words:
        return words[value]
    given = value.total_seconds() if isinstance(value, timedelta) else value
    expected = "a number of seconds, 0 or more" if zero else "a positive number of seconds"
    if words:
        expected = ", or ".join([expected, *map(repr, words)])
    number = _float(given) if is_real(given) else -1.0
    if not (number >= 0 if zero else number > 0):  # also what is not a number at all
        raise ConfigError(option, expected, value)
    return number


def patience(timeout: Any) -> float | None:
    """A ``timeout`` of somebody who waits, in seconds; None for as long as it takes.

    Less than nothing is nothing: that is what a deadline which has passed leaves over.

    Raises:
        ConfigError: it is no duration.
    """
    if timeout is None:
        return None
    given = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    number = _float(given) if is_real(given) else nan
    if isnan(number):
        raise ConfigError("timeout", "a number of seconds, or None", timeout)
    return max(0.0, number)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return inf if value > 0 else -inf
    except ValueError:  # a decimal that signals that it is no number
        return nan
