"""The peers: other libraries, when they are installed."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

__all__ = ["peer"]


def peer(module: str) -> Any | None:
    """The module of a peer, or None; a contest then goes on without it."""
    return importlib.import_module(module) if importlib.util.find_spec(module) else None
