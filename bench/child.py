"""A fresh interpreter, for what can be measured once in a process only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .contest import WorkNotDone

__all__ = ["child"]

ROOT = Path(__file__).parents[1]


def child(code: str, *arguments: object, compiled: str | None = None) -> dict[str, Any]:
    """What `code` prints as one JSON object.

    Args:
        compiled: a folder that keeps bytecode from one child to the next, as the folder of an
            installed package does; None for whatever this process does.

    Raises:
        WorkNotDone: it failed.
    """
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = dict(os.environ)
    if compiled is not None:
        environment |= {"PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, env=environment
    )
    if ended.returncode:
        raise WorkNotDone(f"a child process failed: {ended.stderr.strip()[-2000:]}")
    said: dict[str, Any] = json.loads(ended.stdout)
    return said
