"""What actors announce on the hook bus of `brama.telemetry` about their lives."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Iterable
from typing import Any, Protocol

from brama.telemetry import attached, capture, error_type, execute, hook_names, mark, marked

from .exits import Crash, ExitReason
from .status import reason_text

__all__ = ["announce_end", "announce_start"]


logger = logging.getLogger("brama.actors")


class _Host(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def names(self) -> Any: ...


class Announced(Protocol):
    """What is told of an actor."""

    born: float
    ref: Any

    @property
    def names(self) -> tuple[Hashable, ...]: ...

    @property
    def host(self) -> _Host: ...


def announce_start(cell: Announced) -> None:
    """Its `on_start` has returned."""
    if attached(hook_names.ACTOR_START):
        _execute(hook_names.ACTOR_START, _measured(cell), _whom(cell, cell.names))


def announce_end(
    cell: Announced, entries: Iterable[tuple[Any, Hashable]] | None, reason: ExitReason
) -> None:
    """It has ended; ``entries`` are the registries and keys under which it was found."""
    crash = isinstance(reason, Crash)
    event = hook_names.ACTOR_CRASH if crash else hook_names.ACTOR_STOP
    if not attached(event):
        return
    names = tuple(key for registry, key in entries or () if registry is cell.host.names)
    whom = {**_whom(cell, names), "reason": reason_text(cell.ref.actor_class, reason)}
    if isinstance(reason, Crash):
        whom["error_type"] = error_type(reason.error)
        # Of the message over which it crashed: a successor's span can be linked to it. Its
        # supervisor knows the exception and no more.
        mark(reason.error, capture())
        whom["context"] = marked(reason.error)
    _execute(event, _measured(cell), whom)


def _execute(event: str, measurements: dict[str, float], metadata: dict[str, Any]) -> None:
    try:
        execute(event, measurements, metadata)
    except BaseException:
        logger.exception("a listener of %s raised", event)


def _measured(cell: Announced) -> dict[str, float]:
    now = time.perf_counter()
    return {"system_time": time.time(), "duration": now - cell.born if cell.born else 0.0}


def _whom(cell: Announced, names: tuple[Hashable, ...]) -> dict[str, Any]:
    return {
        "actor_class": cell.ref.actor_class.__name__,
        "name": str(names[0]) if names else None,
        "actor": str(cell.ref),
        "system": cell.host.name,
    }
