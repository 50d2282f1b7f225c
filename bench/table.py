"""The table: outcomes and budgets for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .budgets import Budget, Verdict, beside, judge
from .contest import Unit
from .figures import Figure
from .rounds import Outcome

__all__ = ["HEADER", "rows", "table"]

HEADER = ("bench", "contender", "median", "±", "ratio", "budget", "")
Row = tuple[str, ...]


def rows(outcome: Outcome, budgets: Iterable[Budget]) -> Iterator[Row]:
    """One row for each contender, and one for each budget that has none of its own."""
    unit = outcome.contest.unit
    left = [budget for budget in budgets if budget.bench == outcome.contest.name]
    for place, (name, found) in enumerate(outcome.figures.items()):
        mine = [budget for budget in left if beside(budget, name, first=not place)]
        ratio = outcome.ratios.get(name)
        head = (
            outcome.contest.name if not place else "",
            name,
            "noisy" if found.noisy else _amount(found.median, unit),
            "1 run" if found.samples == 1 else f"{_half(found):.0%}",
            "" if ratio is None else _ratio(ratio),
        )
        if not mine:
            yield (*head, "", "")
        for budget in mine:
            left.remove(budget)
            yield (*head, budget.text(unit), judge(budget, outcome))
            head = ("", "", "", "", "")
    for budget in left:
        yield (
            "",
            budget.against or budget.contender or "",
            "",
            "",
            "",
            budget.text(unit),
            Verdict.NO_PEER,
        )


def table(lines: Sequence[Row]) -> str:
    """`lines` in columns."""
    everything = [HEADER, *lines]
    widths = [max(len(row[column]) for row in everything) for column in range(len(HEADER))]
    left = {0, 1, 5, 6}
    texts = []
    for row in everything:
        cells = (
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


def _half(found: Figure) -> float:
    if not found.median:
        return 0.0
    return max(found.high - found.median, found.median - found.low) / found.median


def _ratio(found: Figure) -> str:
    if found.noisy:
        return "noisy"
    return f"{found.median:.2f} [{found.low:.2f}–{found.high:.2f}]"


def _amount(value: float, unit: Unit) -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{text}{unit}" if unit == "/s" else f"{text} {unit}"
