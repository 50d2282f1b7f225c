"""Plain log lines for people, through `logging`, also where nobody has OpenTelemetry.

Quiet by default: the logger ``brama`` has a `NullHandler` and nothing is printed until the
application configures logging.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from . import hook_names
from .enrichers import adornment
from .hooks import Metadata
from .severity import LEVELS, Severity, severity_of
from .throttle import Throttle

__all__ = ["level_of", "line", "quieten", "state_changed"]

_CIRCUITS: Final = logging.getLogger("brama.circuits")
_throttle: Final = Throttle(1 / 50, burst=200)


def quieten() -> None:
    """Print nothing to a terminal for an application that has not configured logging."""
    root = logging.getLogger("brama")
    if not any(isinstance(handler, logging.NullHandler) for handler in root.handlers):
        root.addHandler(logging.NullHandler())


def level_of(
    logger: logging.Logger, event: str, severity: Severity, metadata: Metadata
) -> int | None:
    """The level of the line that tells of an occurrence; None if there is to be none."""
    decided = severity_of(event, severity, metadata)
    if decided == "off":
        return None
    level = LEVELS[decided]
    return level if logger.isEnabledFor(level) else None


def line(
    logger: logging.Logger,
    event: str,
    severity: Severity,
    metadata: Metadata,
    text: str,
    *values: object,
    exc_info: BaseException | None = None,
    **extra: Any,
) -> None:
    """Write the line that tells of an occurrence, as graded and enriched by the application.

    Example:
        >>> import logging
        >>> line(logging.getLogger("shop"), "shop.closed", "info", {"city": "Oslo"}, "%s", "closed")

    Args:
        logger: where it goes.
        event: the occurrence, by whose name it is enriched and graded.
        severity: unless a severity provider says otherwise.
        metadata: what enrichers and severity providers are given.
        text, values, exc_info: as for `logging`.
        extra: attributes of the record. What enrichers add stands in ``brama_added``, a dict, and
            behind the text.
    """
    level = level_of(logger, event, severity, metadata)
    if level is not None:
        _write(logger, level, event, metadata, text, values, extra, exc_info)


def _write(
    logger: logging.Logger,
    level: int,
    event: str,
    metadata: Metadata,
    text: str,
    values: tuple[object, ...],
    extra: dict[str, Any],
    exc_info: BaseException | None = None,
) -> None:
    added = adornment(event, metadata)
    if added:
        text += " [%s]"
        values = (*values, " ".join(f"{name}={value!s}" for name, value in added.items()))
        extra = {**extra, "brama_added": added}
    logger.log(level, text, *values, extra=extra, exc_info=exc_info)


def state_changed(severity: Severity, metadata: Metadata, *, trace: str | None = None) -> None:
    """One line of a transition; 50 a second at most."""
    event = hook_names.CIRCUIT_TRANSITION
    level = level_of(_CIRCUITS, event, severity, metadata)
    if level is None:
        return
    held_back = _throttle.admit()
    if held_back is None:
        return
    connection, scope, reason = (metadata[key] for key in ("connection", "scope", "reason"))
    _write(
        _CIRCUITS,
        level,
        event,
        metadata,
        "circuit %s: %s -> %s%s%s",
        (
            connection if scope is None else f"{connection} ({scope})",
            metadata["previous_state"],
            metadata["new_state"],
            f" ({reason})" if reason else "",
            f"; {held_back} changes before it were not logged" if held_back else "",
        ),
        {
            "brama_connection": connection,
            "brama_scope": scope,
            "brama_previous_state": metadata["previous_state"],
            "brama_new_state": metadata["new_state"],
            "brama_trace": trace,
        },
    )
