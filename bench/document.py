"""The document: outcomes and budgets for machines."""

from __future__ import annotations

from collections.abc import Iterable

from .budgets import Budget, judge, of
from .figures import Figure
from .rounds import Outcome

__all__ = ["as_json"]


def as_json(outcome: Outcome, budgets: Iterable[Budget]) -> dict[str, object]:
    """One outcome for machines. A ratio that tells nothing is null here, too."""
    return {
        "bench": outcome.contest.name,
        "title": outcome.contest.title,
        "unit": outcome.contest.unit,
        "seconds": outcome.seconds,
        "load": outcome.load,
        "figures": {name: _fields(found) for name, found in outcome.figures.items()},
        "ratios": {
            name: None if found.noisy else _fields(found) for name, found in outcome.ratios.items()
        },
        "budgets": [
            {
                "budget": budget.text(outcome.contest.unit),
                "found": None if found is None or found.noisy else found.median,
                "verdict": judge(budget, outcome).value,
            }
            for budget in budgets
            if budget.bench == outcome.contest.name
            for found in [of(budget, outcome)]
        ],
    }


def _fields(found: Figure) -> dict[str, object]:
    return {
        "median": found.median,
        "low": found.low,
        "high": found.high,
        "spread": found.spread,
        "samples": found.samples,
        "noisy": found.noisy,
    }
