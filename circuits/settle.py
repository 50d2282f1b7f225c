"""Settling a call by what it raised or returned, as the policy classifies it."""

from __future__ import annotations

from typing import Any

from .breaker import Breaker
from .classify import FAILURE, SPECIAL, SUCCESS, of_error, of_result
from .generation import Generation
from .reason import describe

__all__ = ["settle_error", "settle_result"]


def settle_error(
    breaker: Breaker, generation: Generation, number: int, error: BaseException
) -> None:
    """Settle a call that raised."""
    policy = breaker.policy
    word: str = FAILURE
    reason: str | None
    try:
        # What most policies come to for most errors, without the way through their options.
        if policy.usual and isinstance(error, Exception) and not isinstance(error, SPECIAL):
            reason = describe(error)
        else:
            duration = None
            if policy.classify is not None or policy.cancel_counts_after is not None:
                duration = breaker.elapsed(generation, number)
            word, reason = of_error(policy, error, duration)
    except BaseException:  # an interrupt inside of the user's function
        breaker.ignored(generation, number)
        raise
    if word == FAILURE:
        breaker.failed(generation, number, reason, error)
    elif word == SUCCESS:
        breaker.succeeded(generation, number)
    else:
        breaker.ignored(generation, number, collected=isinstance(error, GeneratorExit))


def settle_result(breaker: Breaker, generation: Generation, number: int, result: Any) -> None:
    """Settle a call that returned."""
    try:
        word, reason = of_result(breaker.policy, result, breaker.elapsed(generation, number))
    except BaseException:  # an interrupt inside of the user's function
        breaker.ignored(generation, number)
        raise
    if word == SUCCESS:
        breaker.succeeded(generation, number)
    elif word == FAILURE:
        breaker.failed(generation, number, reason, result=result)
    else:
        breaker.ignored(generation, number, collected=False)
