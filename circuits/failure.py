"""What there is to say of a failure while it is counted."""

from __future__ import annotations

from typing import Any

from .fault import Fault
from .outcome import Outcome

__all__ = ["NOTHING_SAID", "Failure", "said", "shown"]

Failure = tuple[str | None, float | None, BaseException | None, Any, Fault | None]
"""What there is to say of a failure: its reason, the seconds that the other side has asked for,
what was raised and what returned, and what it is called. A plain tuple of what is there already,
because it is made in the middle of a transition; an `Outcome` is made to be shown to users'
functions."""

NOTHING_SAID: Failure = (None, None, None, None, None)


def said(outcome: Outcome) -> Failure:
    """The same of what a user's function was shown."""
    return outcome.reason, outcome.retry_after, outcome.error, outcome.result, outcome.named


def shown(failure: Failure, duration: float | None, slow: bool) -> Outcome:
    """A failure as the functions of users see it."""
    reason, retry_after, error, result, named = failure
    return Outcome(
        result=result,
        error=error,
        failed=True,
        reason=reason,
        duration=duration,
        slow=slow,
        retry_after=retry_after,
        error_type=None if named is None else named[0],
        error_code=None if named is None else named[1],
    )
