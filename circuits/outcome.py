"""How one call ended."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["Outcome", "Verdict"]

Verdict = str | bool | tuple[str, str | None] | None
"""What `Policy.classify` may answer: a word, ``("failure", reason)``, or None: the usual rules."""


@attrs.frozen(kw_only=True)
class Outcome:
    """How one call ended, as the functions that users give to a `Policy` see it.

    Example:
        >>> def busy(outcome: Outcome) -> str | None:
        ...     return "failure" if outcome.result == 503 else None
        >>> busy(Outcome(result=503))
        'failure'

    Attributes:
        result: what the call returned; None when it raised, or when nobody said.
        error: what it raised, or None. Do not keep it: it holds the frames of the call.
        failed: whether it counts as a failure. To `Policy.classify`, whether it raised.
        reason: why it failed, in words, or None.
        duration: seconds that it took; None where nothing measured them.
        slow: it took longer than the policy's `slow_after`.
        retry_after: seconds that the remote asked to be left alone, or None.
        error_type, error_code: what whoever reported the failure has called it, or None.
    """

    result: Any = None
    error: BaseException | None = None
    failed: bool = False
    reason: str | None = None
    duration: float | None = None
    slow: bool = False
    retry_after: float | None = None
    error_type: str | None = None
    error_code: str | int | None = None

    @property
    def named(self) -> tuple[str | None, str | int | None] | None:
        """`error_type` and `error_code`, None if neither is known."""
        if self.error_type is None and self.error_code is None:
            return None
        return self.error_type, self.error_code
