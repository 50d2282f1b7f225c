"""Rounds: turns, exact work, an end."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import count, cycle

import pytest
from bench.contest import Contender, Contest, Scale, WorkNotDone, agree
from bench.rounds import run

SCALE = Scale(seconds=0.0, rounds=9, slice=0.001, size=1.0)


class Worker:
    """A contender whose clock is a number."""

    def __init__(self, name: str, samples: Sequence[float], said: list[str] | None = None) -> None:
        self.name = name
        self.total = 0
        self.lost = 0
        self._samples = cycle(samples)
        self._said = [] if said is None else said

    def contender(self, *, times: int | None = 10, compared: bool = True) -> Contender:
        return Contender(self.name, self._run, self._done, times=times, compared=compared)

    def _run(self, times: int) -> float:
        self.total += times
        self._said.append(self.name)
        return next(self._samples)

    def _done(self) -> int:
        return self.total - self.lost


def contest(*contenders: Contender, **options: object) -> Contest:
    @contextmanager
    def make(_scale: Scale) -> Generator[Sequence[Contender], None, None]:
        yield contenders

    return Contest("test", "a test", make, **options)  # type: ignore[arg-type]


def test_figures_are_in_the_unit_of_the_contest_and_ratios_are_ours_to_theirs() -> None:
    outcome = run(
        contest(Worker("brama", [1e-6]).contender(), Worker("peer", [4e-6]).contender()), SCALE
    )

    assert outcome.figures["brama"].median == pytest.approx(1000)
    assert outcome.figures["peer"].median == pytest.approx(4000)
    assert outcome.ratios["peer"].median == pytest.approx(0.25)


def test_a_rate_is_per_second_and_its_ratio_is_that_of_the_rates() -> None:
    outcome = run(
        contest(Worker("brama", [1e-6]).contender(), Worker("peer", [4e-6]).contender(), unit="/s"),
        SCALE,
    )

    assert outcome.figures["brama"].median == pytest.approx(1e6)
    assert outcome.ratios["peer"].median == pytest.approx(4.0)


def test_contenders_take_turns_and_nobody_always_follows_the_same() -> None:
    said: list[str] = []
    names = ["brama", "one", "two"]
    run(contest(*(Worker(name, [1.0], said).contender() for name in names)), SCALE)
    rounds = [tuple(said[first : first + 3]) for first in range(0, len(said), 3)]

    assert all(sorted(one) == sorted(names) for one in rounds)
    assert len(set(rounds)) > 2


def test_work_that_was_not_done_ends_the_run() -> None:
    worker = Worker("brama", [1.0])
    worker.lost = 1

    with pytest.raises(WorkNotDone, match="brama was timed for 90 times and did it 89 times"):
        run(contest(worker.contender()), SCALE)


def test_work_that_was_done_twice_ends_the_run() -> None:
    worker = Worker("peer", [1.0])
    worker.lost = -5

    with pytest.raises(WorkNotDone, match="did it 95 times"):
        run(contest(Worker("brama", [1.0]).contender(), worker.contender()), SCALE)


def test_counts_that_differ_are_named() -> None:
    assert agree("calls", started=3, ended=3) == 3
    with pytest.raises(WorkNotDone, match="calls: the counts differ: started 3, ended 2"):
        agree("calls", started=3, ended=2)


def test_what_the_harness_tries_before_the_first_round_counts_as_work() -> None:
    worker = Worker("brama", [1e-5])
    run(contest(worker.contender(times=None)), SCALE)

    # 9 rounds that fill the slice of 1 ms, and what it took to find their size: 1, 4, 16, 32, 64.
    assert worker.total == 9 * 100 + 117


def test_a_contest_may_say_how_many_rounds_it_takes() -> None:
    outcome = run(contest(Worker("brama", [5.0]).contender(), rounds=2, unit="B"), SCALE)

    assert outcome.figures["brama"].samples == 2
    assert outcome.figures["brama"].median == 5.0


def test_another_way_to_measure_the_same_is_not_compared() -> None:
    outcome = run(
        contest(
            Worker("brama", [1.0]).contender(),
            Worker("otherwise", [2.0]).contender(compared=False),
        ),
        SCALE,
    )

    assert "otherwise" in outcome.figures
    assert outcome.ratios == {}


def test_noise_makes_a_run_longer_but_not_endless() -> None:
    patient = Scale(seconds=0.01, rounds=9, slice=0.001, size=1.0)

    def rounds(samples: list[float]) -> int:
        now = count(0.0, 0.001).__next__  # a round takes a millisecond
        figures = run(contest(Worker("brama", samples).contender()), patient, now=now).figures
        return figures["brama"].samples

    assert rounds([1.0]) == pytest.approx(10, abs=1)
    assert rounds([1.0, 3.0, 9.0]) == pytest.approx(30, abs=1)


def test_quantiles_are_taken_over_the_samples_of_all_rounds() -> None:
    class Trips(Worker):
        def trips(self, times: int) -> list[float]:
            self.total += times
            return [number * 1e-6 for number in range(1, times + 1)]

    trips = Trips("brama", [1.0])
    made = contest(
        Contender("brama", trips.trips, trips._done, times=100),
        unit="us",
        quantiles=(0.5, 0.99),
    )
    figures = run(made, SCALE).figures

    assert list(figures) == ["brama p50", "brama p99"]
    assert figures["brama p50"].median == pytest.approx(50.5)
    assert figures["brama p99"].median == pytest.approx(99)
    assert figures["brama p99"].samples == 9 * 100


def test_the_points_of_a_curve_are_in_order_of_their_size() -> None:
    one = Worker("brama", [1.0])
    contenders = [
        Contender(f"{series} {at:g}", one._run, lambda: 90, times=10, series=series, at=at)
        for series, at in (("brama", 100.0), ("brama", 10.0), ("peer", 10.0))
    ]
    outcome = run(contest(*contenders, axis="sizes"), SCALE)

    assert outcome.curves == {
        "brama": [(10.0, "brama 10"), (100.0, "brama 100")],
        "peer": [(10.0, "peer 10")],
    }


def test_what_is_not_compared_makes_no_run_longer() -> None:
    patient = Scale(seconds=0.01, rounds=9, slice=0.001, size=1.0)
    now = count(0.0, 0.001).__next__
    wild = Worker("wild", [1.0, 3.0, 9.0]).contender(compared=False)
    outcome = run(contest(Worker("brama", [1.0]).contender(), wild), patient, now=now)

    assert outcome.figures["brama"].samples == pytest.approx(10, abs=1)
