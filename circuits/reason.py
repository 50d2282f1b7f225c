"""Why something failed, or was ordered, in words."""

from __future__ import annotations

from typing import Any, TypeAlias

from brama.telemetry import ConfigError

__all__ = ["REASON_LIMIT", "Reason", "check_reason", "describe"]

Reason: TypeAlias = str | BaseException | None
"""What the user may give as a reason: a text, or the exception at hand, which is described."""

REASON_LIMIT = 200
"""Characters of a foreign text, which may be a whole page, that a reason keeps."""


def describe(error: BaseException) -> str:
    """An exception as a reason: its type and the start of its text, never the object."""
    name = type(error).__qualname__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the text is the user's code; the call must be settled
        text = ""
    return f"{name}: {text}"[:REASON_LIMIT] if text else name


def check_reason(value: Any) -> str | None:
    """`value` as the reason of a report or an order; an exception is described.

    Example:
        >>> check_reason(TimeoutError("no answer"))
        'TimeoutError: no answer'

    Raises:
        ConfigError: it is neither.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, BaseException):
        return describe(value)
    raise ConfigError("reason", "a str, an exception or None", value)
