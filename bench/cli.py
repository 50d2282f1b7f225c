"""The command line: which contests to run, and where the figures go."""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import budgets as limits
from . import machine, publish
from .contest import FULL, QUICK, Contest, WorkNotDone
from .contests import ALL
from .document import as_document
from .rounds import Outcome, run
from .table import rows, table

__all__ = ["main", "select"]

KEPT, BROKEN, WRONG = 0, 1, 2


def select(names: Sequence[str], contests: Sequence[Contest]) -> list[Contest]:
    """The contests that `names` stand for, in their own order; no name is all of them.

    Raises:
        ValueError: a name or pattern that stands for none.
    """
    known = [contest.name for contest in contests]
    for name in names:
        if not fnmatch.filter(known, name):
            raise ValueError(f"there is no bench {name!r}; there are: {', '.join(known)}")
    return [
        contest
        for contest in contests
        if not names or any(fnmatch.fnmatch(contest.name, name) for name in names)
    ]


def main(argv: Sequence[str], contests: Sequence[Contest] = ALL) -> int:
    """Run, print, and say by the status: 0 no budget missed, 1 one missed, 2 nothing to go by."""
    options = _parser().parse_args(argv)
    if options.republish:
        return _republish()
    if options.publish and (options.names or options.quick):
        print("--publish wants the whole run: neither names nor --quick", file=sys.stderr)
        return WRONG
    try:
        chosen = select(options.names, contests)
    except ValueError as error:
        print(error, file=sys.stderr)
        return WRONG
    if options.list:
        for contest in chosen:
            print(f"{contest.name:24} {contest.title}")
        return KEPT

    scale = QUICK if options.quick else FULL
    if options.quick and not options.names:
        chosen = [contest for contest in chosen if contest.quick]
    allowed = limits.load()
    seen = machine.look()
    print(*seen.lines(), sep="\n", end="\n\n")
    began = time.perf_counter()
    outcomes: list[Outcome] = []
    for contest in chosen:
        _progress(contest.name)
        try:
            outcomes.append(run(contest, scale))
        except WorkNotDone as error:
            _progress("")
            print(f"stopped, the figures would mean nothing: {error}", file=sys.stderr)
            return WRONG
    _progress("")
    print(table([row for outcome in outcomes for row in rows(outcome, allowed)]))
    last = outcomes[-1].load
    print(
        f"\n{time.perf_counter() - began:.0f} s"
        + ("" if last is None else f", load at the end {last:.2f}")
        + ". Medians; ± is the 95 % interval. Ratios are Brama's to the peer's."
    )
    document = as_document(seen, outcomes, allowed, quick=options.quick)
    if options.json is not None:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if options.publish:
        _say(publish.publish(document))
    missed = [
        f"{outcome.contest.name} {budget.text(outcome.contest.unit)}"
        for outcome in outcomes
        for budget in allowed
        if budget.bench == outcome.contest.name
        and limits.judge(budget, outcome) is limits.Verdict.MISSED
    ]
    if missed:
        print(f"missed by more than their slack: {', '.join(missed)}", file=sys.stderr)
    return BROKEN if missed else KEPT


def _republish() -> int:
    """Make the page and the tables anew from the figures that were published last."""
    document = json.loads((publish.ROOT / publish.FIGURES).read_text(encoding="utf-8"))
    _say(publish.publish(document))
    return KEPT


def _say(paths: Sequence[Path]) -> None:
    print("wrote", ", ".join(str(path) for path in paths))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Brama beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="a bench or a pattern (sync*)")
    parser.add_argument(
        "--quick", action="store_true", help="rougher: all of it in less than a minute"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--publish",
        action="store_true",
        help="measure everything, then write docs/performance and the README's tables",
    )
    parser.add_argument(
        "--republish",
        action="store_true",
        help="measure nothing; write them anew from the figures that are there",
    )
    parser.add_argument("--list", action="store_true", help="say which benches there are")
    return parser


def _progress(name: str) -> None:
    """Say on a terminal what is being measured; the next word replaces it."""
    if sys.stderr.isatty():
        print(f"\r{name:<40}", end="\r", file=sys.stderr, flush=True)
