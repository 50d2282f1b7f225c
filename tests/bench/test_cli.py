"""The command line, up to a quick run of real contests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from bench.cli import main, select
from bench.contest import Contender, Contest, Scale
from bench.contests import ALL

ROOT = Path(__file__).parents[2]


def contest(name: str, sample: float, *, done: int | None = None) -> Contest:
    """One that always takes `sample` seconds, three rounds long."""
    total = 0

    def run(times: int) -> float:
        nonlocal total
        total += times
        return sample

    @contextmanager
    def make(_scale: Scale) -> Generator[Sequence[Contender], None, None]:
        yield [Contender("brama", run, lambda: total if done is None else done, times=1)]

    return Contest(name, f"the {name}", make, rounds=3)


def test_no_name_selects_everything_and_a_pattern_what_it_matches() -> None:
    known = [contest(name, 1.0) for name in ("sync", "refusal", "refusal-raised", "threads")]

    assert select([], known) == known
    assert select(["refusal*"], known) == known[1:3]
    assert select(["threads", "sync"], known) == [known[0], known[3]]


def test_names_are_unique() -> None:
    assert len({one.name for one in ALL}) == len(ALL)


def test_an_unknown_name_is_an_error_that_lists_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["snyc"]) == 2
    said = capsys.readouterr().err
    assert "'snyc'" in said
    assert "sync" in said.replace("snyc", "")


def test_the_list_measures_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "tell", "ask"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["tell", "ask"]


def test_the_status_tells_a_missed_budget_from_a_met_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--quick"], [contest("refusal", 100e-9)]) == 0
    assert "met" in capsys.readouterr().out
    assert main(["--quick"], [contest("refusal", 200e-9)]) == 1
    assert "MISSED" in capsys.readouterr().out


def test_a_quick_run_leaves_out_what_takes_long_unless_it_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long, short = attrs.evolve(contest("long", 1e-7), quick=False), contest("short", 1e-7)

    main(["--quick"], [long, short])
    assert "long" not in capsys.readouterr().out
    main(["--quick", "long"], [long, short])
    assert "long" in capsys.readouterr().out


def test_a_run_without_the_work_prints_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick"], [contest("refusal", 100e-9, done=1)]) == 2
    printed = capsys.readouterr()
    assert "timed for 3 times and did it 1 times" in printed.err
    assert " ns" not in printed.out


@pytest.mark.soak
def test_a_quick_run_measures_and_writes_what_it_saw(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", file, "sync", "refusal", "tell"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert ended.returncode in (0, 1), ended.stderr
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["machine"]["cores"] >= 1
    assert document["machine"]["versions"]["pykka"]
    assert [one["bench"] for one in document["outcomes"]] == ["sync", "refusal", "tell"]
    for one in document["outcomes"]:
        assert one["figures"]["brama"]["median"] > 0
        assert one["figures"]["brama"]["samples"] >= 3
        assert f"\n{one['bench']} " in ended.stdout
    assert list(document["outcomes"][2]["figures"]) == ["brama", "pykka", "bare deque"]
