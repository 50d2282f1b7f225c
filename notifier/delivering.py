"""The subscription whose handler runs here."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

__all__ = ["delivering"]

delivering: ContextVar[Any] = ContextVar("brama_delivering", default=None)
"""Set around the turns of a deliverer; worker threads that it starts inherit it."""
