"""Publishing: what stands in the repository is what its document says."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from bench.budgets import Budget
from bench.cli import main
from bench.contest import Contest
from bench.contests import ALL
from bench.document import as_document
from bench.figures import Figure
from bench.machine import Machine
from bench.publish import FIGURES, FOLDER, ROOT, files, publish
from bench.rounds import Outcome
from bench.sections import GUARDS, OTHERS, SECTIONS

README = "before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n"
MACHINE = Machine(
    "CPython 3.11", "Linux 6.1 x86_64", "a processor", 2, 0.1, {"brama": "1.0", "elixir": None}
)


def around(median: float, share: float = 0.01, samples: int = 15) -> Figure:
    return Figure(median, median * (1 - share), median * (1 + share), share, samples)


def outcome(name: str, unit: Any, axis: str = "", **figures: Figure) -> Outcome:
    contest = Contest(name, f"a {name}", lambda _scale: nullcontext([]), unit, axis=axis)
    ours, *peers = figures
    ratios = {peer: around(figures[ours].median / figures[peer].median) for peer in peers}
    return Outcome(contest, figures, ratios, 1.0, 0.1)


def document(*outcomes: Outcome, budgets: tuple[Budget, ...] = ()) -> dict[str, Any]:
    return as_document(MACHINE, outcomes, budgets, quick=False)


SYNC = outcome("sync", "ns", brama=around(100), circuitbreaker=around(400), pybreaker=around(1000))


def test_every_contest_stands_in_one_section() -> None:
    shown = [name for section in SECTIONS for name in section.benches]

    assert sorted(shown) == sorted(contest.name for contest in ALL)


def test_the_rows_of_the_readme_are_contests() -> None:
    known = {contest.name for contest in ALL}

    assert {name for _label, name in (*GUARDS, *OTHERS)} <= known


def test_the_published_files_are_what_their_document_makes() -> None:
    if not (ROOT / FIGURES).exists():
        pytest.skip("nothing has been published yet")
    stands = json.loads((ROOT / FIGURES).read_text(encoding="utf-8"))
    made = files(stands, (ROOT / "README.md").read_text(encoding="utf-8"))

    assert not stands["quick"]
    for path, text in made.items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, path
    charts = {path.name for path in (ROOT / FOLDER).glob("*.svg")}
    assert charts == {path.name for path in made if path.suffix == ".svg"}


def test_the_readme_keeps_what_stands_around_the_tables() -> None:
    made = files(document(SYNC), README)[Path("README.md")]

    assert made.startswith("before\n<!-- figures: begin -->\n")
    assert made.endswith("<!-- figures: end -->\nafter\n")
    assert "old" not in made
    assert "| decorated function | **100** | 400 | 1 000 | – | – | – | 0.25 |" in made
    assert files(document(SYNC), made)[Path("README.md")] == made


def test_a_readme_without_the_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="figures: begin"):
        files(document(SYNC), "nothing")


def test_the_page_says_when_where_and_what_was_left_out() -> None:
    page = files(document(SYNC), README)[FOLDER / "figures.md"]

    assert "CPython 3.11 on Linux 6.1 x86_64, a processor, 2 cores, load 0.10" in page
    assert "brama 1.0" in page
    assert "left out: elixir" in page


def test_each_row_has_its_ratio_and_its_budget() -> None:
    budgets = (Budget("sync", against="circuitbreaker", at_most=0.2), Budget("sync", at_most=200))
    page = files(document(SYNC, budgets=budgets), README)[FOLDER / "figures.md"]

    assert "| **sync**: a sync | brama | 100 ns | 1% |  | ≤ 200 ns | met |" in page
    assert "|  | circuitbreaker | 400 ns | 1% | 0.25 | ≤ 0.2 × circuitbreaker | MISSED |" in page
    assert "|  | pybreaker | 1 000 ns | 1% | 0.10 |  |  |" in page


def test_what_was_too_noisy_is_in_no_table_and_in_no_chart() -> None:
    noisy = outcome("sync", "ns", brama=around(123.4, 0.5), circuitbreaker=around(400))
    noisy.ratios["circuitbreaker"] = around(0.3085, 0.5)  # type: ignore[index]
    made = files(document(noisy), README)

    for path, text in made.items():
        if path != FIGURES:
            assert "123" not in text, path
            assert "0.31" not in text, path
    assert "noisy" in made[Path("README.md")]


def test_a_peer_that_is_not_there_is_a_dash() -> None:
    alone = outcome("sync", "ns", brama=around(100))
    made = files(document(alone), README)

    assert "| decorated function | **100** | – | – | – | – | – | – |" in made[Path("README.md")]
    assert FOLDER / "calls.svg" not in made


def test_charts_without_figures_are_taken_away(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README, encoding="utf-8")
    publish(document(SYNC), tmp_path)
    assert (tmp_path / FOLDER / "calls.svg").exists()
    publish(document(outcome("refusal", "ns", brama=around(90))), tmp_path)
    assert not (tmp_path / FOLDER / "calls.svg").exists()


def test_only_a_whole_run_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--publish", "sync"]) == 2
    assert main(["--publish", "--quick"]) == 2
    assert "whole run" in capsys.readouterr().err
