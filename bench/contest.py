"""A contest: several contenders that do the same work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal

import attrs

__all__ = [
    "CPU",
    "FULL",
    "QUICK",
    "WALL",
    "Contender",
    "Contest",
    "Scale",
    "Unit",
    "WorkNotDone",
    "agree",
]

Unit = Literal["ns", "us", "ms", "B", "/s"]

CPU = time.thread_time
"""For work that stays in one thread: it does not count while others have the core."""

WALL = time.perf_counter
"""For work in which threads wait for each other."""


class WorkNotDone(Exception):
    """A contender did not do the work that it was timed for; its times mean nothing."""


@attrs.frozen
class Scale:
    """How long to measure.

    Attributes:
        seconds: for one contest; up to three times as long while its figures are noisy.
        rounds: at least so many.
        slice: seconds that one contender runs in one round.
        size: factor on the sizes that a contest builds (circuits, subscribers).
    """

    seconds: float
    rounds: int
    slice: float
    size: float


TAILS = (0.5, 0.95, 0.99)
"""The quantiles of what has a tail."""

FULL = Scale(seconds=2.0, rounds=15, slice=0.005, size=1.0)
QUICK = Scale(seconds=0.3, rounds=9, slice=0.002, size=0.1)


@attrs.frozen
class Contender:
    """One way to do the work.

    Attributes:
        name: ``"brama"`` or the peer.
        run: does the work so many times. What it returns, if anything, is the sample, in seconds
            or bytes for one time, or a sample for each time; otherwise the harness takes the time.
        done: how many times the work has been done since the beginning; raises `WorkNotDone`
            when what it knows of does not agree.
        times: how often in one round; None finds out how many fill a slice.
        compared: whether a ratio to it says anything.
        series, at: of a curve, which line this contender is a point of, and at which size.
    """

    name: str
    run: Callable[[int], Sequence[float] | float | None]
    done: Callable[[], int]
    times: int | None = None
    compared: bool = True
    series: str = ""
    at: float | None = None


@attrs.frozen
class Contest:
    """What is measured.

    Attributes:
        name: to select it by, and the key of its budgets.
        title: what one time of the work is.
        make: builds the contenders, ours first.
        unit: of the figures. Rates are per second, everything else is for one time.
        clock: `CPU` or `WALL`.
        rounds: exactly so many, for what is not repeated cheaply; None goes by the scale.
        slice: at least so many seconds in one round, where threads need time to meet.
        axis: of a curve, what grows from contender to contender.
        quantiles: figures for each contender, over the samples of all rounds together; without
            any it is the median of the rounds.
        quick: whether a quick run takes part in it unasked.
    """

    name: str
    title: str
    make: Callable[[Scale], AbstractContextManager[Sequence[Contender]]]
    unit: Unit = "ns"
    clock: Callable[[], float] = CPU
    rounds: int | None = None
    slice: float = 0.0
    axis: str = ""
    quantiles: Sequence[float] = ()
    quick: bool = True

    def value(self, sample: float) -> float:
        """A sample, which is seconds or bytes, in the unit of this contest."""
        if self.unit == "/s":
            return 1.0 / sample
        return sample * {"ns": 1e9, "us": 1e6, "ms": 1e3, "B": 1.0}[self.unit]


def agree(what: str, **counts: int) -> int:
    """The one number that all `counts` are.

    Raises:
        WorkNotDone: they differ.
    """
    if len(set(counts.values())) != 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise WorkNotDone(f"{what}: the counts differ: {said}")
    return next(iter(counts.values()))
