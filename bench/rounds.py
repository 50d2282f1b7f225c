"""Rounds: contenders take turns until their figures tell something."""

from __future__ import annotations

import gc
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from .contest import Contender, Contest, Scale, WorkNotDone
from .figures import Figure, figure, ratio

__all__ = ["Outcome", "run"]

PATIENCE = 3.0


@attrs.frozen
class Outcome:
    """What a contest came to.

    Attributes:
        contest: what was measured.
        figures: by contender, ours first, in the unit of the contest.
        ratios: ours to each peer, by peer.
        curves: of a contest with an axis, by line: sizes with their contenders.
        seconds: that it took, building included.
        load: of the machine when it ended, one minute's average; None where it does not say.
    """

    contest: Contest
    figures: Mapping[str, Figure]
    ratios: Mapping[str, Figure]
    seconds: float
    load: float | None
    curves: Mapping[str, Sequence[tuple[float, str]]] = attrs.field(factory=dict)


def run(contest: Contest, scale: Scale, *, now: Callable[[], float] = time.perf_counter) -> Outcome:
    """Measure `contest`; `now` says when it has been long enough.

    Raises:
        WorkNotDone: a contender did not do what it was timed for.
    """
    began = time.perf_counter()
    with contest.make(scale) as contenders:
        asked: Counter[str] = Counter()
        gc.collect()
        times = {one.name: _times(contest, one, scale, asked) for one in contenders}
        samples = _play(contest, contenders, times, asked, scale, now)
        for one in contenders:
            done = one.done()
            if done != asked[one.name]:
                raise WorkNotDone(
                    f"{contest.name}: {one.name} was timed for {asked[one.name]} times "
                    f"and did it {done} times"
                )
    return Outcome(
        contest,
        figures={
            name: found for one in contenders for name, found in _figures(contest, one, samples)
        },
        ratios=_ratios(contenders, samples),
        seconds=time.perf_counter() - began,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        curves=_curves(contenders),
    )


def _figures(
    contest: Contest, one: Contender, samples: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, Figure]]:
    if not contest.quantiles:
        yield one.name, figure(samples[one.name])
    for share in contest.quantiles:
        yield f"{one.name} p{100 * share:g}", figure(samples[one.name], share)


def _ratios(
    contenders: Sequence[Contender], samples: Mapping[str, Sequence[float]]
) -> dict[str, Figure]:
    ours, *others = contenders
    return {
        one.name: ratio(samples[ours.name], samples[one.name]) for one in others if one.compared
    }


def _curves(contenders: Sequence[Contender]) -> dict[str, list[tuple[float, str]]]:
    lines: dict[str, list[tuple[float, str]]] = {}
    for one in contenders:
        if one.at is not None:
            lines.setdefault(one.series, []).append((one.at, one.name))
    return {series: sorted(line) for series, line in lines.items()}


def _play(
    contest: Contest,
    contenders: Sequence[Contender],
    times: Mapping[str, int],
    asked: Counter[str],
    scale: Scale,
    now: Callable[[], float],
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {one.name: [] for one in contenders}
    # A fixed seed: two runs play in the same order. An order at all times the same would have
    # one contender always run in the wake of the same other one.
    draw = random.Random(1)
    order = list(contenders)
    played = 0
    began = now()
    while True:
        draw.shuffle(order)
        for one in order:
            taken = _once(contest, one, times[one.name], asked)
            samples[one.name] += (contest.value(sample) for sample in taken)
        played += 1
        if contest.rounds is not None:
            if played >= contest.rounds:
                return samples
            continue
        spent = now() - began
        if played < scale.rounds:
            continue
        if spent >= PATIENCE * scale.seconds:
            return samples
        if spent >= scale.seconds and not _noisy(contest, contenders, samples):
            return samples


def _noisy(
    contest: Contest, contenders: Sequence[Contender], samples: Mapping[str, Sequence[float]]
) -> bool:
    """Whether more rounds would tell more."""
    ours = contenders if contest.quantiles else contenders[:1]
    return any(
        found.noisy for one in ours for _name, found in _figures(contest, one, samples)
    ) or any(found.noisy for found in _ratios(contenders, samples).values())


def _times(contest: Contest, one: Contender, scale: Scale, asked: Counter[str]) -> int:
    """How often the work fills a slice."""
    if one.times is not None:
        return one.times
    wanted = max(scale.slice, contest.slice)
    times = 1
    while True:
        seconds = sum(_once(contest, one, times, asked)) * times
        if seconds >= wanted / 2:
            return max(1, round(times * wanted / seconds))
        times *= 4 if seconds < wanted / 8 else 2


def _once(contest: Contest, one: Contender, times: int, asked: Counter[str]) -> Sequence[float]:
    """One round of one contender: seconds or bytes for one time, or those of each."""
    asked[one.name] += times
    clock = contest.clock
    start = clock()
    sample = one.run(times)
    seconds = clock() - start
    if sample is None:
        return [seconds / times]
    return [sample] if isinstance(sample, float | int) else sample
