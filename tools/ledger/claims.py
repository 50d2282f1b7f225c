"""Claims: the requirement ids that test sources name, read without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs


@attrs.frozen
class Claim:
    """One id that one place in a test source names."""

    id: str
    path: Path
    line: int


class UnreadableClaim(ValueError):
    """A claim that only running the code could resolve."""


def collect(folder: Path) -> Iterator[Claim]:
    """Every claim in the Python files under ``folder``.

    Raises `UnreadableClaim` for ids that are not literal strings: the ledger must be readable
    without running the tests.
    """
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        # Any call of `….mark.requirement(…)` is a claim, wherever it stands: decorator of a
        # function or class, pytestmark, marks= of a parameter set.
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_mark(node.func):
                yield from _ids(node, path)


def _is_mark(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):  # requirement = pytest.mark.requirement
        return function.id == "requirement"
    if not isinstance(function, ast.Attribute) or function.attr != "requirement":
        return False
    owner = function.value
    return (isinstance(owner, ast.Attribute) and owner.attr == "mark") or (
        isinstance(owner, ast.Name) and owner.id == "mark"
    )


def _ids(call: ast.Call, path: Path) -> Iterator[Claim]:
    if not call.args or call.keywords:
        raise UnreadableClaim(f"{path}:{call.lineno}: requirement() takes ids, one or more")
    for argument in call.args:
        if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
            raise UnreadableClaim(
                f"{path}:{argument.lineno}: expected a literal id, got {ast.unparse(argument)!r}"
            )
        yield Claim(argument.value, path, argument.lineno)
