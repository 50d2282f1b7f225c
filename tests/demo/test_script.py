"""The script of the demonstration is fixed by its seed and leaves the circuits time to close."""

from __future__ import annotations

import pytest

from brama.demo.options import MINIMUM, Options
from brama.demo.script import Act, write

SEEDS = pytest.mark.parametrize("seed", range(50))


def test_the_same_seed_gives_the_same_script() -> None:
    assert write(20.0, seed=7) == write(20.0, seed=7)
    assert write(20.0, seed=7) != write(20.0, seed=8)


@SEEDS
def test_steps_are_in_the_order_of_their_times(seed: int) -> None:
    times = [step.at for step in write(20.0, seed)]

    assert times == sorted(times)


@SEEDS
def test_everything_that_breaks_heals_later(seed: int) -> None:
    steps = write(20.0, seed)
    breaks = [step for step in steps if step.act in (Act.FAIL, Act.HANG)]
    heals = {step.target: step.at for step in steps if step.act is Act.HEAL}

    assert {step.target for step in breaks} == set(heals)
    assert all(heals[step.target] > step.at for step in breaks)


@SEEDS
def test_the_shortest_script_leaves_time_for_one_more_probe_after_the_last_heal(seed: int) -> None:
    options = Options(duration=MINIMUM)
    last = write(options.duration, seed)[-1].at

    # A probe may just have gone out to the upstream that hangs: its deadline, then the expiry.
    assert last + options.deadline + options.expiry < 0.9 * options.duration


def test_a_longer_duration_stretches_the_script() -> None:
    short, long = write(10.0, seed=1), write(20.0, seed=1)

    assert [2 * step.at for step in short] == pytest.approx([step.at for step in long])
    assert [step.text for step in short] == [step.text for step in long]
