"""The ledger must see every claim, and let no wrong one pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import CatalogueError, Report, UnreadableClaim, collect, load
from ledger.__main__ import main
from ledger.report import runs

ROOT = Path(__file__).parents[2]
CATALOGUE = """
[first]
title = "First things"
[first.ids]
EV-01 = "one"
EV-02 = "two"
"actors:mailbox" = "three"
"""
MARK = "pytest.mark." + "requirement"  # written apart, so that the ledger does not read it here

Project = Callable[[str], Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Makes a checkout with the catalogue above and one test module of the given source."""

    def make(source: str) -> Path:
        tests = tmp_path / "tests"
        tests.mkdir()
        (tests / "requirements.toml").write_text(CATALOGUE)
        (tests / "test_it.py").write_text("import pytest\n" + source)
        return tmp_path

    return make


@pytest.mark.parametrize(
    "source",
    [
        f"@{MARK}('EV-01')\ndef test_a(): ...\n",
        f"@{MARK}('EV-01')\nasync def test_a(): ...\n",
        f"@{MARK}('EV-01')\nclass TestA:\n    def test_a(self): ...\n",
        f"pytestmark = {MARK}('EV-01')\n",
        f"pytestmark = [pytest.mark.soak, {MARK}('EV-01')]\n",
        f"cases = [pytest.param(1, marks={MARK}('EV-01'))]\n",
        "from pytest import mark\n@mark." + "requirement('EV-01')\ndef test_a(): ...\n",
    ],
    ids=["function", "async", "class", "pytestmark", "list", "param", "from-import"],
)
def test_a_claim_is_found_wherever_pytest_accepts_the_mark(project: Project, source: str) -> None:
    claims = list(collect(project(source) / "tests"))

    assert [claim.id for claim in claims] == ["EV-01"]


def test_report_counts_covered_and_open_ids(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(f"@{MARK}('EV-02', 'actors:mailbox')\ndef test_a(): ...\n")

    assert main(root) == 0

    assert capsys.readouterr().out.splitlines() == [
        "First things: 2 of 3",
        "  covered EV-02 actors:mailbox",
        "  open    EV-01",
        "requirements covered: 2, open: 1",
    ]


def test_unknown_id_fails_and_names_place_and_nearest_id(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(f"\n@{MARK}('EV-03')\ndef test_a(): ...\n")

    assert main(root) == 1

    last = capsys.readouterr().out.splitlines()[-1]
    assert "test_it.py:3" in last
    assert "'EV-03' is not in tests/requirements.toml; did you mean 'EV-0" in last


@pytest.mark.parametrize("arguments", ["", "ID", "*IDS", "f'EV-{n}'", "id='EV-01'"])
def test_claim_that_needs_running_code_is_refused(project: Project, arguments: str) -> None:
    root = project(f"@{MARK}({arguments})\ndef test_a(): ...\n")

    with pytest.raises(UnreadableClaim, match=r"test_it\.py:2"):
        list(collect(root / "tests"))
    assert main(root) == 1


def test_an_id_in_two_groups_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "requirements.toml"
    path.write_text(CATALOGUE + '[second]\ntitle = "Second"\n[second.ids]\nEV-01 = "again"\n')

    with pytest.raises(CatalogueError, match=r"'EV-01' stands in \[first\] and in \[second\]"):
        load(path)


def test_neighbouring_ids_are_drawn_together() -> None:
    ids = ["EV-01", "EV-02", "EV-03", "EV-05", "BR-R09", "BR-R10", "actors:mailbox", "B1", "B2"]

    assert runs(ids) == ["EV-01…03", "EV-05", "BR-R09…10", "actors:mailbox", "B1…2"]


def test_pytest_refuses_an_unknown_id_at_collection(pytester: pytest.Pytester) -> None:
    pytester.mkdir("tests").joinpath("requirements.toml").write_text(CATALOGUE)
    pytester.makepyfile(test_it=f"import pytest\n@{MARK}('EV-99')\ndef test_a(): ...\n")

    result = pytester.runpytest_inprocess("-p", "ledger.plugin", "--strict-markers")

    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: test_it.py::test_a: requirement 'EV-99' is not in*"])


def test_the_catalogue_of_this_project_is_complete() -> None:
    ids = load(ROOT / "tests" / "requirements.toml").ids

    delivery = {id_ for id_ in ids if id_[2:3] == "-" and not id_.startswith("BR-")}
    assert len(delivery) == 163
    assert {f"BR-{n:02}" for n in range(1, 35)} <= ids
    assert {f"BR-R{n:02}" for n in range(1, 20)} <= ids
    assert {f"B{n}" for n in range(1, 21)} <= ids


def test_every_claim_of_this_project_names_a_known_id() -> None:
    catalogue = load(ROOT / "tests" / "requirements.toml")
    report = Report(catalogue, tuple(collect(ROOT / "tests")))

    assert report.unknown == ()
