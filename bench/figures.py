"""Figures: what a row of samples says, and whether it says anything."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import attrs

__all__ = ["Figure", "figure", "ratio"]

TOLERANCE = 0.15
"""The widest interval, to either side of the median, that still tells something."""


@attrs.frozen
class Figure:
    """The median of some samples, and how far it can be trusted.

    Attributes:
        median: of the samples.
        low, high: between them the true median lies, at 95 %.
        spread: the middle half of the samples, as a share of the median.
        samples: how many there were.
    """

    median: float
    low: float
    high: float
    spread: float
    samples: int

    @property
    def noisy(self) -> bool:
        """Whether the interval is too wide to tell anything."""
        return max(self.high - self.median, self.median - self.low) > TOLERANCE * self.median


def figure(samples: Sequence[float]) -> Figure:
    """The figure of `samples`.

    Raises:
        ValueError: there are none.
    """
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("a figure needs at least one sample, got none")
    median = statistics.median(ordered)
    low, high = _interval(ordered)
    quarter = len(ordered) // 4
    middle = ordered[len(ordered) - 1 - quarter] - ordered[quarter]
    return Figure(median, low, high, middle / median if median else 0.0, len(ordered))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """How ours compares with theirs, round by round.

    The quotient of two medians would compare rounds in which the machine did different things.
    """
    return figure([one / other for one, other in zip(ours, theirs, strict=True)])


def _interval(ordered: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median by order statistics: it assumes nothing of how noise falls.

    The chance that fewer than `k` of `n` samples lie below the true median is binomial.
    """
    n = len(ordered)
    inside, chance, k = 0, 0.0, 0
    while 2 * k < n - 1:
        chance += math.comb(n, k) / 2**n
        if chance > 0.025:
            break
        k += 1
        inside = k - 1
    return ordered[inside], ordered[n - 1 - inside]
