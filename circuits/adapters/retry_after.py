"""The header Retry-After: pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

__all__ = ["retry_after"]

SECONDS = re.compile(r"\d{1,12}(\.\d+)?", re.ASCII)


def retry_after(value: str | None, *, now: float, date: str | None = None) -> float | None:
    """The seconds that a Retry-After asks for; None if it asks for none, or for nonsense.

    Example:
        >>> retry_after("120", now=0.0)
        120.0
        >>> retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now=45.0)
        15.0

    Args:
        value: the header, in seconds or as an HTTP date.
        now: POSIX time.
        date: the header Date of the same response. A date is held against it rather than against
            `now`, because both come from the same clock.

    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    value = value.strip()
    if SECONDS.fullmatch(value):
        wait = float(value)
    else:
        until = _posix(value)
        if until is None:
            return None
        sent = None if date is None else _posix(date)
        wait = until - (now if sent is None else sent)
    return wait if wait > 0 else None


def _posix(value: str) -> float | None:
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    # An HTTP date is in GMT also where it does not say so.
    aware: datetime = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return aware.timestamp()
