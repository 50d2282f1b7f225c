"""Run the Python code of a documentation page: ``python -m pages README.md``.

The ```` ```python ```` blocks of a page run from top to bottom in one namespace, as a reader
would type them. A block that cannot run says why in a comment before it::

    <!-- no-run: needs a Slack workspace -->

Errors carry the line numbers of the page.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs

_OPENING = re.compile(r"(?P<indent> *)(?P<fence>`{3,})python\s*")
_NO_RUN = re.compile(r"\s*<!-- no-run: \S.* -->\s*")


@attrs.frozen
class Block:
    """One block of Python: its source, and the line of the page on which it begins."""

    source: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page that are to run."""
    lines = iter(enumerate(text.splitlines(), start=1))
    before = ""
    for number, line in lines:
        opening = _OPENING.fullmatch(line)
        if opening is None:
            before = line or before
            continue
        body: list[str] = []
        for _, inside in lines:
            if inside.strip() == opening["fence"]:
                break
            body.append(inside)
        else:
            raise ValueError(f"the block that begins on line {number} has no end")
        if not _NO_RUN.fullmatch(before):
            yield Block(textwrap.dedent("\n".join(body)), number + 1)
        before = ""


def run(page: Path) -> None:
    """Run the blocks of ``page`` as one ``__main__``."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page.read_text(encoding="utf-8")):
        # Leading line ends bring the line numbers of tracebacks into step with the page.
        padded = "\n" * (block.line - 1) + block.source
        exec(compile(padded, page, "exec"), namespace)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
