"""What a supervisor decides: pure rules, without a clock, a loop or an actor.

Source: Erlang/OTP ``supervisor``; the tables of its *Design Principles*, "Supervision Principles".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from .exits import ExitReason, Killed, Shutdown

__all__ = [
    "AutoShutdown",
    "Restart",
    "Strategy",
    "affected",
    "ends_the_supervisor",
    "is_expected_end",
    "wants_restart",
]

T = TypeVar("T")


class Restart(StrEnum):
    """When a child is restarted: always, ``transient`` unless it ended quietly, or never."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class Strategy(StrEnum):
    """Who is restarted with a child: nobody else, everybody, or those started after it."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class AutoShutdown(StrEnum):
    """Whether a supervisor ends with its significant children: never, with any, with the last."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


def wants_restart(restart: Restart, reason: ExitReason) -> bool:
    """Whether a child that ended for ``reason`` gets a successor."""
    if restart is Restart.PERMANENT:
        return True
    return restart is Restart.TRANSIENT and not reason.quiet


def affected(strategy: Strategy, order: Sequence[T], failed: T) -> Sequence[T]:
    """The children to end and start again, in start order, when ``failed`` has to be restarted."""
    if strategy is Strategy.ONE_FOR_ALL:
        return order
    if strategy is Strategy.REST_FOR_ONE:
        return order[order.index(failed) :]
    return (failed,)


def ends_the_supervisor(policy: AutoShutdown, significant: bool, others_left: bool) -> bool:
    """Whether a supervisor ends because a child has ended by itself, for good.

    Args:
        significant: whether that child was.
        others_left: whether another significant child runs, or waits for its restart.
    """
    if not significant or policy is AutoShutdown.NEVER:
        return False
    return policy is AutoShutdown.ANY_SIGNIFICANT or not others_left


def is_expected_end(restart: Restart, reason: ExitReason, *, brutal: bool) -> bool:
    """Whether a child that was told to end has done so as it should; if not, it is reported.

    A child that ends for a reason of its own in that moment is no fault, unless it is permanent:
    that one has no business to end by itself.
    """
    if brutal:
        if isinstance(reason, Killed):
            return True
    elif isinstance(reason, Shutdown) and reason.detail is None:
        return True
    return restart is not Restart.PERMANENT and reason.quiet
