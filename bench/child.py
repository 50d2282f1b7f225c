"""A fresh interpreter, for what can be measured once in a process only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from .contest import WorkNotDone

__all__ = ["child"]

ROOT = Path(__file__).parents[1]


def child(code: str, *arguments: object) -> dict[str, Any]:
    """What `code` prints as one JSON object.

    Raises:
        WorkNotDone: it failed.
    """
    command = [sys.executable, "-c", code, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if ended.returncode:
        raise WorkNotDone(f"a child process failed: {ended.stderr.strip()[-2000:]}")
    said: dict[str, Any] = json.loads(ended.stdout)
    return said
