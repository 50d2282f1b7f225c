"""Plain log lines for people, through `logging`, also where nobody has OpenTelemetry.

Quiet by default: the logger ``brama`` has a `NullHandler` and nothing is printed until the
application configures logging.
"""

from __future__ import annotations

import logging
from typing import Final

from .throttle import Throttle

__all__ = ["quieten", "state_changed"]

_CIRCUITS: Final = logging.getLogger("brama.circuits")
_throttle: Final = Throttle(1 / 50, burst=200)


def quieten() -> None:
    """Print nothing to a terminal for an application that has not configured logging."""
    root = logging.getLogger("brama")
    if not any(isinstance(handler, logging.NullHandler) for handler in root.handlers):
        root.addHandler(logging.NullHandler())


def state_changed(
    connection: str,
    scope: str | None,
    previous: str,
    new: str,
    reason: str | None,
    *,
    trace: str | None = None,
) -> None:
    """One line: WARNING when a circuit opens, INFO otherwise; 50 a second at most."""
    level = logging.WARNING if new in {"open", "forced_open"} else logging.INFO
    if not _CIRCUITS.isEnabledFor(level):
        return
    held_back = _throttle.admit()
    if held_back is None:
        return
    _CIRCUITS.log(
        level,
        "circuit %s: %s -> %s%s%s",
        connection if scope is None else f"{connection} ({scope})",
        previous,
        new,
        f" ({reason})" if reason else "",
        f"; {held_back} changes before it were not logged" if held_back else "",
        extra={
            "brama_connection": connection,
            "brama_scope": scope,
            "brama_previous_state": previous,
            "brama_new_state": new,
            "brama_trace": trace,
        },
    )
