"""``python -m ledger``: print the ledger of the tests in this checkout; 1 if a claim is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

from . import Report, UnreadableClaim, collect, load


def main(root: Path) -> int:
    catalogue = load(root / "tests" / "requirements.toml")
    try:
        report = Report(catalogue, tuple(collect(root / "tests")))
    except UnreadableClaim as problem:
        print(f"error: {problem}")
        return 1
    print(*report.lines(), sep="\n")
    return 1 if report.unknown else 0


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
