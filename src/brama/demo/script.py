"""The script: what happens to the upstreams and to the handlers, and when."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final

import attrs

__all__ = ["Act", "Step", "write"]


class Act(StrEnum):
    """What a step does."""

    FAIL = "fail"
    HANG = "hang"
    HEAL = "heal"
    KILL = "kill"
    KILL_ACTOR = "kill_actor"


@attrs.frozen
class Step:
    """One step: `at` so many seconds after the start, `act` on `target`."""

    at: float
    act: Act
    target: str

    @property
    def text(self) -> str:
        """The step as a sentence."""
        return _TEXTS[self.act].format(self.target)


_TEXTS: Final = {
    Act.FAIL: "{} begins to answer 500",
    Act.HANG: "{} begins to hang",
    Act.HEAL: "{} heals",
    Act.KILL: "{} is to be killed in the middle of its next event",
    Act.KILL_ACTOR: "Brama's own actor {} is killed",
}

# Shares of the duration. The last part is left to the circuits to close in.
_PLOT: Final = (
    (0.12, Act.FAIL, "payments"),
    (0.28, Act.HANG, "search"),
    (0.40, Act.KILL, "Ledger"),
    (0.48, Act.KILL_ACTOR, "registry"),
    (0.56, Act.HEAL, "payments"),
    (0.68, Act.HEAL, "search"),
)
_PLAY: Final = 0.02
"""How far the seed moves a step, as a share of the duration."""


def write(duration: float, seed: int) -> tuple[Step, ...]:
    """The steps of a script of so many seconds; the same seed gives the same ones.

    Example:
        >>> [step.text for step in write(20.0, seed=1)][0]
        'payments begins to answer 500'
    """
    chance = random.Random(f"{seed} script")
    return tuple(
        Step(duration * (share + chance.uniform(-_PLAY, _PLAY)), act, target)
        for share, act, target in _PLOT
    )
