"""What README and docs tell the reader to type must run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pages import blocks

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.is_file() and list(blocks(page.read_text(encoding="utf-8")))
]


def run(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a page in an interpreter and a working folder of its own, without our settings."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BRAMA_", "OTEL_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pages", str(page)],
        env={**inherited, "PYTHONPATH": str(ROOT / "tools")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    done = run(page, tmp_path)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def page_of(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def test_blocks_of_a_page_share_one_namespace(tmp_path: Path) -> None:
    page = page_of(
        tmp_path, "```python\na = 1\n```\n\ntext\n\n- item\n\n  ```python\n  print(a)\n  ```\n"
    )

    assert run(page, tmp_path).stdout == "1\n"


def test_an_error_names_the_line_of_the_page(tmp_path: Path) -> None:
    done = run(page_of(tmp_path, "# Title\n\n```python\n\n1 / 0\n```\n"), tmp_path)

    assert done.returncode == 1
    assert 'page.md", line 5' in done.stderr


def test_other_languages_are_left_alone() -> None:
    assert list(blocks("```sh\nmake demo\n```\n\n```text\nplain\n```\n")) == []


def test_a_block_with_a_reason_not_to_run_is_left_out() -> None:
    text = "<!-- no-run: needs a server -->\n\n```python\n1 / 0\n```\n\n```python\nx = 1\n```\n"

    assert [block.source for block in blocks(text)] == ["x = 1"]


def test_no_run_without_a_reason_runs() -> None:
    assert len(list(blocks("<!-- no-run: -->\n```python\nx = 1\n```\n"))) == 1


def test_a_block_without_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="begins on line 2 has no end"):
        list(blocks("\n```python\nx = 1\n"))
