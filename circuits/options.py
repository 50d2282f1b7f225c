"""Checks of the values that users give, shared by the modules of this package."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from math import isfinite
from typing import Any

from brama.telemetry import ConfigError, is_real

__all__ = [
    "Key",
    "check_function",
    "check_name",
    "check_probe",
    "check_scope",
    "present_loop",
    "seconds",
    "spelt",
    "whole",
]

NAME_LIMIT = 255

Key = tuple[str | None, str]
"""Scope and name: what makes a connection, or a group, unique in its system."""


def seconds(option: str, value: Any, *, zero: bool = False) -> float:
    """`value` as finite seconds; a `timedelta` is accepted."""
    given = value.total_seconds() if isinstance(value, timedelta) else value
    expected = "a number of seconds" + (" >= 0" if zero else " > 0")
    if not is_real(given):
        raise ConfigError(option, expected, value)
    try:
        number = float(given)
    except (OverflowError, ValueError):
        raise ConfigError(option, expected, value) from None
    if not isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ConfigError(option, expected, value)
    return number


def spelt(duration: float) -> str:
    """Seconds as people read them: one digit after the point, and no 0.0 for what is short.

    Example:
        >>> spelt(30.04), spelt(0.0213)
        ('30.0 s', '0.021 s')
    """
    return f"{duration:.1f} s" if duration >= 0.1 or duration <= 0 else f"{duration:.2g} s"


def whole(option: str, value: Any, *, least: int = 1) -> int:
    """`value` as a whole number that is at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(option, f"a whole number >= {least}", value)
    return value


def check_name(option: str, value: Any) -> str:
    """`value` as the name of a connection, a scope or a group."""
    if not isinstance(value, str):
        raise ConfigError(option, "a str", value)
    if not value or len(value) > NAME_LIMIT or not value.isprintable() or value.isspace():
        raise ConfigError(
            option, f"1 to {NAME_LIMIT} printable characters, and not blanks alone", value
        )
    return value


def check_probe(value: Any) -> bool:
    """`value` as the answer to whether a call may be a probe."""
    if not isinstance(value, bool):
        raise ConfigError("probe", "True or False", value)
    return value


def check_scope(value: Any) -> str | None:
    """`value` as a scope; None is a circuit without one."""
    return None if value is None else check_name("scope", value)


def present_loop() -> asyncio.AbstractEventLoop | None:
    """The asyncio loop that the caller runs on, if any: where its async functions belong."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def check_function(option: str, value: Any) -> Any:
    """`value` as a function without arguments, plain or async.

    Raises:
        ConfigError: it cannot be called.
    """
    if not callable(value):
        raise ConfigError(option, "a function without arguments, plain or async", value)
    return value
