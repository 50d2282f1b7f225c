"""The options of a circuit as keywords, for editors and type checkers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypedDict

from .outcome import Outcome, Verdict
from .policy import ExpiryFunction, Kinds
from .trip import Trip

__all__ = ["Options"]


class Options(TypedDict, total=False):
    """What `brama.circuit` takes beside a name: the options of a `Policy`, all of them optional.

    So a slip of the pen is found where it is written, and an editor completes them. What each
    means, and its default, stands at `Policy`; ``max_attempts`` is the word of the Elixir library
    for ``failure_threshold``.

    Example:
        >>> def partner(name: str, **options: Unpack[Options]) -> Circuit:
        ...     return brama.circuit(name, scope="partners", **options)
    """

    trip: Trip | None
    failure_threshold: int | None
    max_attempts: int | None
    slow_after: float | timedelta | None
    slow_rate: float
    expiry: float | timedelta | ExpiryFunction
    expiry_strategy: str | ExpiryFunction
    initial_expiry: float | timedelta | None
    max_expiry: float | timedelta | None
    backoff_factor: float
    jitter: float
    reset_after: float | timedelta
    half_open_max_calls: int
    success_threshold: int
    failure_threshold_half_open: int
    half_open_timeout: float | timedelta | None
    half_open_wait: float | timedelta
    ignore: Kinds
    record: Kinds
    record_result: Callable[[Any], object] | None
    classify: Callable[[Outcome], Verdict] | None
    cancel_counts_after: float | timedelta | None
    stall_after: float | timedelta | None
    health_check: Callable[[], object] | None
    health_interval: float | timedelta
    health_timeout: float | timedelta | None
    initial_state: str
