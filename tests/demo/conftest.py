"""The demonstration as a user starts it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = "from brama.cli import main; main()"

Start = Callable[..., subprocess.CompletedProcess[str]]


def environment(**variables: str) -> dict[str, str]:
    """This one without what would change the demonstration."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "BRAMA_"))
    }
    return {**kept, "TERM": "xterm", "COLUMNS": "100", "LINES": "40", **variables}


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Runs the command `brama` to its end; `prelude` is code that goes before it."""
    folder: Path = tmp_path_factory.mktemp("demo")

    def run(
        *arguments: str, prelude: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", f"{prelude}\n{COMMAND}", *arguments],
            capture_output=True,
            text=True,
            timeout=40,
            cwd=folder,
            env=environment(**variables),
        )

    return run
