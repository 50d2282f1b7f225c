"""What the outcome of a call means: success, failure or neutral. Pure but for the users' functions.

Threads: in the thread of the guarded call, never under a lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import trio

from .errors import CircuitOpenError
from .options import spelt
from .outcome import Outcome
from .policy import Policy
from .reason import REASON_LIMIT, describe

__all__ = [
    "FAILURE",
    "IGNORE",
    "SPECIAL",
    "SUCCESS",
    "ask",
    "classified",
    "holds",
    "is_cancellation",
    "of_error",
    "of_result",
]

logger = logging.getLogger("brama.circuits")

SUCCESS, FAILURE, IGNORE = "success", "failure", "ignore"
WORDS = (SUCCESS, FAILURE, IGNORE)

SPECIAL = (BaseExceptionGroup, CircuitOpenError)
"""What is judged by more than its class, see `_fails`."""


def is_cancellation(error: BaseException) -> bool:
    """Whether the caller was cancelled; a group is, if all in it are."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_cancellation(leaf) for leaf in error.exceptions)
    return isinstance(error, trio.Cancelled | asyncio.CancelledError)


def timed_out(error: BaseException | None, reason: str | None) -> bool:
    """Whether a failure was a time-out, as far as its exception or its reason says so.

    Client libraries have kinds of their own, most of them no `TimeoutError`: their names say it.
    A cancellation that counts as a failure is the time-out of whoever cancelled.
    """
    if error is None:
        return reason is not None and reason.casefold().startswith(("timeout", "timed out"))
    if isinstance(error, BaseExceptionGroup):
        return all(timed_out(leaf, None) for leaf in error.exceptions)
    return (
        isinstance(error, TimeoutError | trio.TooSlowError)
        or is_cancellation(error)
        or any("Timeout" in kind.__name__ for kind in type(error).__mro__)
    )


def of_error(
    policy: Policy, error: BaseException, duration: float | None = None
) -> tuple[str, str | None]:
    """What a call that raised means: success, failure or ignore, and the reason of a failure."""
    if policy.classify is not None:
        verdict = classified(policy, Outcome(error=error, failed=True, duration=duration))
        if verdict is not None:
            return verdict
    if _fails(policy, error):
        return FAILURE, describe(error)
    if (
        policy.cancel_counts_after is not None
        and duration is not None
        and duration >= policy.cancel_counts_after
        and is_cancellation(error)
    ):
        return FAILURE, f"cancelled after {spelt(duration)}"
    return IGNORE, None


def of_result(policy: Policy, result: Any, duration: float | None = None) -> tuple[str, str | None]:
    """What a call that returned means."""
    if policy.classify is not None:
        verdict = classified(policy, Outcome(result=result, duration=duration))
        if verdict is not None:
            return verdict
    if policy.record_result is not None and holds(policy.record_result, result):
        return FAILURE, _shown(result)
    return SUCCESS, None


def _fails(policy: Policy, error: BaseException) -> bool:
    """Whether an exception counts as a failure.

    A group is as bad as the worst in it: one whose leaves are all neutral is neutral. The refusal
    of another circuit is neutral unless `record` names it: that call was not made, so that it says
    nothing new, and counting it would add this circuit's open time to the other's.
    """
    if isinstance(error, policy.ignored_classes) or (
        policy.ignored_tests and _passes(policy.ignored_tests, error)
    ):
        return False
    if isinstance(error, BaseExceptionGroup):
        named = (BaseExceptionGroup, ExceptionGroup)
        return any(
            issubclass(kind, named) and isinstance(error, kind) for kind in policy.recorded_classes
        ) or any(_fails(policy, leaf) for leaf in error.exceptions)
    if isinstance(error, CircuitOpenError):
        return any(
            issubclass(kind, CircuitOpenError) and isinstance(error, kind)
            for kind in policy.recorded_classes
        ) or _passes(policy.recorded_tests, error)
    return isinstance(error, policy.recorded_classes) or _passes(policy.recorded_tests, error)


def classified(policy: Policy, outcome: Outcome) -> tuple[str, str | None] | None:
    """What the policy's `classify` says to this outcome; None leaves it to the usual rules."""
    verdict = ask(policy.classify, outcome)
    reason: Any = None
    word = verdict
    if isinstance(verdict, tuple) and len(verdict) == 2:
        word, reason = verdict
    if word is None:
        return None
    if word is True or word is False:
        word = SUCCESS if word else FAILURE
    if not isinstance(word, str):
        word = ""  # not compared: equality, too, may be the user's own
    if word == "ok":
        word = SUCCESS
    elif word == "error":
        word = FAILURE
    if word not in WORDS:
        logger.error(
            "classify answered %r; expected 'success', 'failure', ('failure', reason), 'ignore' or "
            "None, so that the usual rules apply",
            verdict,
        )
        return None
    if word != FAILURE:
        return word, None
    if reason is None:
        return word, _shown(outcome.result) if outcome.error is None else describe(outcome.error)
    return word, describe(reason) if isinstance(reason, BaseException) else _text(reason)


def ask(function: Callable[[Any], Any] | None, argument: Any) -> Any:
    """What the user's function answers; None, and a line in the log, if it raises."""
    try:
        return function(argument)  # type: ignore[misc]  # asked only where there is one
    except Exception:
        logger.exception("%r raised; it counts as if it were not there", function)
        return None


def holds(function: Callable[[Any], Any] | None, argument: Any) -> bool:
    """Whether the user's function answers true; an answer that is neither counts as no answer."""
    answer = ask(function, argument)
    try:
        return bool(answer)
    except Exception:
        logger.exception("%r answered what is neither true nor false", function)
        return False


def _shown(result: object) -> str:
    """A result as a reason: what it is, never the object."""
    return f"result {_text(result)}"


def _text(thing: object) -> str:
    try:
        return str(thing)[:REASON_LIMIT]
    except Exception:  # noqa: BLE001 - the text is the user's code; the call must be settled
        return type(thing).__qualname__


def _passes(tests: tuple[Callable[[Any], object], ...], error: BaseException) -> bool:
    """Whether any of the user's predicates answers true; most policies have none."""
    return bool(tests) and any(holds(test, error) for test in tests)
