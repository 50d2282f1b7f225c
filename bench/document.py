"""The document: a whole run for machines; pages and charts are made from it alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from .budgets import Budget, judge, of
from .figures import Figure
from .machine import Machine
from .rounds import Outcome

__all__ = ["as_document", "as_json"]


def as_document(
    machine: Machine, outcomes: Sequence[Outcome], budgets: Sequence[Budget], *, quick: bool
) -> dict[str, Any]:
    """A run: when and where, and what came of it."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": attrs.asdict(machine),
        "quick": quick,
        "outcomes": [as_json(outcome, budgets) for outcome in outcomes],
    }


def as_json(outcome: Outcome, budgets: Iterable[Budget]) -> dict[str, Any]:
    """One outcome. A ratio that tells nothing is null here, too."""
    return {
        "bench": outcome.contest.name,
        "title": outcome.contest.title,
        "unit": outcome.contest.unit,
        "axis": outcome.contest.axis,
        "seconds": round(outcome.seconds, 3),
        "load": outcome.load,
        "figures": {name: _fields(found) for name, found in outcome.figures.items()},
        "ratios": {
            name: None if found.noisy else _fields(found) for name, found in outcome.ratios.items()
        },
        "curves": {
            series: [{"at": at, "contender": name} for at, name in line]
            for series, line in outcome.curves.items()
        },
        "budgets": [
            {
                "budget": budget.text(outcome.contest.unit),
                "beside": budget.against or budget.contender,
                "found": None if found is None or found.noisy else _rounded(found.median),
                "verdict": judge(budget, outcome).value,
            }
            for budget in budgets
            if budget.bench == outcome.contest.name
            for found in [of(budget, outcome)]
        ],
    }


def _fields(found: Figure) -> dict[str, object]:
    return {
        "median": _rounded(found.median),
        "low": _rounded(found.low),
        "high": _rounded(found.high),
        "spread": _rounded(found.spread),
        "samples": found.samples,
        "noisy": found.noisy,
    }


def _rounded(value: float) -> float:
    """Five digits: more than any of the figures has that mean something."""
    return float(f"{value:.5g}")
