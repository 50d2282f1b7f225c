"""Budgets: what each path may cost, from ``budgets.toml``."""

from __future__ import annotations

import enum
import math
import tomllib
from pathlib import Path

import attrs

from .contest import Unit
from .figures import Figure
from .rounds import Outcome

__all__ = ["FILE", "Budget", "Verdict", "beside", "judge", "load", "of"]

FILE = Path(__file__).with_name("budgets.toml")


class Verdict(enum.StrEnum):
    """Whether a budget is kept."""

    MET = "met"
    SLACK = "missed, within its slack"
    MISSED = "MISSED"
    CLOSE = "too close to tell"
    NOISY = "too noisy to tell"
    NO_PEER = "peer not installed"


@attrs.frozen
class Budget:
    """One limit, for the figure of Brama or for its ratio to a peer; exactly one is given.

    Attributes:
        bench: name of the contest.
        against: the peer; None limits the figure itself.
        contender: whose figure it is, when it is not the first one's.
        at_most, at_least: the limit.
        slack: by how much of itself the limit may be missed before a run fails: what one run and
            the next differ by on a machine that is doing other things, too.
    """

    bench: str
    against: str | None = None
    contender: str | None = None
    at_most: float | None = None
    at_least: float | None = None
    slack: float = 0.1

    def __attrs_post_init__(self) -> None:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"a budget of {self.bench!r} needs at_most or at_least, and not both")

    def text(self, unit: Unit) -> str:
        """The budget as the table prints it."""
        sign, limit = ("≤", self.at_most) if self.at_least is None else ("≥", self.at_least)
        if self.against is not None:
            return f"{sign} {limit:.10g} × {self.against}"
        return f"{sign} {limit:,.10g}{unit}" if unit == "/s" else f"{sign} {limit:,.10g} {unit}"


def load(file: Path = FILE) -> list[Budget]:
    """The budgets in `file`."""
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Budget(**row) for row in table["budget"]]


def of(budget: Budget, outcome: Outcome) -> Figure | None:
    """What the budget limits; None when the peer was not there."""
    if budget.against is None:
        if budget.contender is not None:
            return outcome.figures.get(budget.contender)
        return next(iter(outcome.figures.values()))
    return outcome.ratios.get(budget.against)


def beside(budget: Budget, name: str, *, first: bool) -> bool:
    """Whether `budget` belongs beside the figure of the contender of that name."""
    whose = budget.against or budget.contender
    return first if whose is None else whose == name


def judge(budget: Budget, outcome: Outcome) -> Verdict:
    """Whether `outcome` keeps `budget`: only when its whole interval does."""
    found = of(budget, outcome)
    if found is None:
        return Verdict.NO_PEER
    if found.noisy:
        return Verdict.NOISY
    if budget.at_most is not None:
        kept = found.high <= budget.at_most
        over = found.low / budget.at_most
    else:
        assert budget.at_least is not None
        kept = found.low >= budget.at_least
        over = budget.at_least / found.high if found.high else math.inf
    if kept:
        return Verdict.MET
    if over <= 1.0:
        return Verdict.CLOSE
    return Verdict.SLACK if over <= 1.0 + budget.slack else Verdict.MISSED
