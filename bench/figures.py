"""Figures: what a row of samples says, and whether it says anything."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import attrs

__all__ = ["Figure", "figure", "ratio"]

TOLERANCE = 0.15
"""The widest interval, to either side of the median, that still tells something."""

TAIL = 0.5
"""The same for quantiles beyond the median, where few samples are."""


@attrs.frozen
class Figure:
    """The median of some samples or another quantile, and how far it can be trusted.

    Attributes:
        median: of the samples, or the quantile that was asked for.
        low, high: between them the true one lies, at 95 %.
        spread: the middle half of the samples, as a share of the median.
        samples: how many there were.
        tolerance: the widest interval that still tells something, as a share of the median.
    """

    median: float
    low: float
    high: float
    spread: float
    samples: int
    tolerance: float = TOLERANCE

    @property
    def noisy(self) -> bool:
        """Whether the interval is too wide to tell anything."""
        return max(self.high - self.median, self.median - self.low) > self.tolerance * self.median


def figure(samples: Sequence[float], share: float = 0.5) -> Figure:
    """The median of `samples`, or the quantile that `share` of them do not exceed.

    Raises:
        ValueError: there are none.
    """
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("a figure needs at least one sample, got none")
    if share == 0.5:
        found, tolerance = statistics.median(ordered), TOLERANCE
    else:
        found, tolerance = ordered[math.ceil(share * len(ordered)) - 1], TAIL
    low, high = _interval(ordered, share)
    quarter = len(ordered) // 4
    middle = ordered[len(ordered) - 1 - quarter] - ordered[quarter]
    spread = middle / found if found else 0.0
    return Figure(found, low, high, spread, len(ordered), tolerance)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """How ours compares with theirs, round by round.

    The quotient of two medians would compare rounds in which the machine did different things.
    """
    return figure([one / other for one, other in zip(ours, theirs, strict=True)])


def _interval(ordered: Sequence[float], share: float) -> tuple[float, float]:
    """The 95 % interval of a quantile by order statistics: it assumes nothing of how noise falls.

    How many of `n` samples lie below the true quantile is binomial. With too few samples for 95 %
    it is the whole range.
    """
    n = len(ordered)
    below = 0.0
    low, high = 0, n - 1
    for k in range(n + 1):
        if below + (chance := _binomial(n, k, share)) <= 0.025:
            low = k  # so many lie below it but in 2.5 % of all runs
        if below >= 0.975:
            high = k - 1
            break
        below += chance
    return ordered[low], ordered[max(low, min(high, n - 1))]


def _binomial(n: int, k: int, share: float) -> float:
    """The chance of `k` among `n`; by logarithms, for a thousand samples overflow a float."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(share) + (n - k) * math.log(1.0 - share))
