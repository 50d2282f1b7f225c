"""The page of supervision rules: each has a source and a test, and the test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "actors" / "rules.md"


def rules() -> list[list[str]]:
    """The cells of each rule."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    return [row for row in rows if row[0] != "rule"]


def written() -> set[str]:
    """The test functions of the actors."""
    return {
        node.name
        for path in (ROOT / "tests" / "actors").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_rule_names_its_source_and_its_test() -> None:
    assert len(rules()) > 50
    for rule in rules():
        assert len(rule) == 3, rule
        assert rule[1], f"no source: {rule[0]}"
        assert re.search(r"`test_\w+`", rule[2]), f"no test: {rule[0]}"


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))

    assert sorted(named - written()) == []
