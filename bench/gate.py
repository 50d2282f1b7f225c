"""The gate: the hot paths held to their budgets in a form that noise cannot fail.

    python -m bench.gate

With Valgrind it compares instructions. Without, it compares times by quick contests, and a budget
is missed only when three runs in a row miss it by more than its slack.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence

import attrs

from . import budgets as limits
from . import instructions
from .contest import CPU, QUICK, Contest, WorkNotDone
from .contests import ALL
from .rounds import Outcome, run

__all__ = ["Limit", "compare", "limits_on_file", "main", "retried"]

TRIES = 3


@attrs.frozen
class Limit:
    """At most so many times the instructions of another path."""

    path: str
    against: str
    at_most: float


def limits_on_file() -> list[Limit]:
    """The limits in ``budgets.toml``."""
    table = tomllib.loads(limits.FILE.read_text(encoding="utf-8"))
    return [Limit(**row) for row in table["instructions"]]


def compare(counted: Mapping[str, float], allowed: Sequence[Limit]) -> tuple[list[str], bool]:
    """A line for each limit, and whether all are kept.

    Raises:
        WorkNotDone: a path was not counted.
    """
    lines, kept = [], True
    for limit in allowed:
        try:
            ratio = counted[limit.path] / counted[limit.against]
        except KeyError as error:
            raise WorkNotDone(f"{error} was not counted: is its library installed?") from None
        met = ratio <= limit.at_most
        kept &= met
        lines.append(
            f"{limit.path:16} {counted[limit.path]:8,.0f} instructions, {ratio:.3f} × "
            f"{limit.against}, at most {limit.at_most:g}: {'met' if met else 'MISSED'}"
        )
    return lines, kept


def retried(
    budget: limits.Budget, contest: Contest, measure: Callable[[Contest], Outcome]
) -> limits.Verdict:
    """The verdict, after up to three tries to do better than miss it."""
    verdict = limits.Verdict.MISSED
    for _ in range(TRIES):
        verdict = limits.judge(budget, measure(contest))
        if verdict is not limits.Verdict.MISSED:
            break
    return verdict


def main() -> int:
    """Print what was found: 0 when everything is kept, 1 when not, 2 when nothing can be told."""
    try:
        if instructions.available():
            lines, kept = compare(instructions.count(), limits_on_file())
            print(*lines, sep="\n")
            return 0 if kept else 1
        print("valgrind is not installed: times instead of instructions", file=sys.stderr)
        return _by_time()
    except WorkNotDone as error:
        print(f"stopped, the figures would mean nothing: {error}", file=sys.stderr)
        return 2


def _by_time() -> int:
    """The ratios to peers that are taken in CPU time of one thread."""
    by_name = {contest.name: contest for contest in ALL if contest.clock is CPU}
    kept = True
    for budget in limits.load():
        contest = by_name.get(budget.bench)
        if contest is None or budget.against is None or contest.axis or contest.rounds:
            continue
        verdict = retried(budget, contest, lambda one: run(one, QUICK))
        kept &= verdict is not limits.Verdict.MISSED
        print(f"{budget.bench:16} {budget.text(contest.unit)}: {verdict.value}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
