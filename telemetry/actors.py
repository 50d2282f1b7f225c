"""What OpenTelemetry hears of actors from the hook bus: crashes, restarts, dead letters.

The one part that needs nothing back, so it listens like everybody else: under the id
`brama.opentelemetry`, which may be detached.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from . import hook_names, metrics, names
from .enrichers import adorn
from .faults import error_type, swallow
from .flags import admit
from .hooks import Measurements, Metadata, attach
from .links import links
from .log_events import record_exception
from .providers import tracer

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

__all__ = ["ID", "listen"]

ID: Final = "brama.opentelemetry"


def listen() -> None:
    """Attach the listener."""
    attach(
        ID,
        (
            hook_names.ACTOR_CRASH,
            hook_names.ACTOR_RESTART,
            hook_names.ACTOR_DEAD_LETTER,
            hook_names.EVENT_DROPPED,
        ),
        _hear,
    )


def _hear(event: str, measurements: Measurements, metadata: Metadata, _config: Any) -> None:
    try:
        _DEALT_WITH[event](measurements, metadata)
    except Exception as error:  # noqa: BLE001 - detaching this one would cost all the others
        swallow(f"counting {event}", error)


def _crashed(_measurements: Measurements, metadata: Metadata) -> None:
    metrics.crashes.add(_class(metadata), _error_type(metadata))
    error = metadata.get("reason")
    if isinstance(error, BaseException):
        record_exception(
            error,
            None,
            severity="error",
            context=metadata.get("context"),
            attributes=_attributes(metadata),
            occurrence=hook_names.ACTOR_CRASH,
            metadata=metadata,
        )
    metrics.register()


def _restarted(measurements: Measurements, metadata: Metadata) -> None:
    metrics.restarts.add(_class(metadata), _error_type(metadata))
    metrics.register()
    spans = tracer(names.ACTOR)
    if spans is None:
        return
    held_back = admit("restart")
    if held_back is None:
        return
    from opentelemetry.context import Context

    attributes = _attributes(metadata)
    attributes[names.RESTARTS] = measurements.get("count", 1)
    for name, key in ((names.SUPERVISOR, "supervisor"), (names.STRATEGY, "strategy")):
        if metadata.get(key) is not None:
            attributes[name] = str(metadata[key])
    if kind := _error_type(metadata):
        attributes[names.ERROR_TYPE] = kind
    if held_back:
        attributes[names.HELD_BACK] = held_back
    adorn(attributes, hook_names.ACTOR_RESTART, metadata)
    now = time.time_ns()
    span = spans.start_span(
        names.RESTART.of(_class(metadata)),
        Context(),
        attributes=attributes,
        links=links([metadata.get("context")], "crash"),
        start_time=now - int(measurements.get("duration", 0.0) * 1e9),
    )
    span.end(now)


def _dead_letter(measurements: Measurements, metadata: Metadata) -> None:
    metrics.dead_letters.add(_class(metadata), count=int(measurements.get("count", 1)))
    metrics.register()


def _dropped(measurements: Measurements, metadata: Metadata) -> None:
    metrics.dropped.add(str(metadata["reason"]), count=int(measurements.get("count", 1)))
    metrics.register()


_DEALT_WITH: Final = {
    hook_names.ACTOR_CRASH: _crashed,
    hook_names.ACTOR_RESTART: _restarted,
    hook_names.ACTOR_DEAD_LETTER: _dead_letter,
    hook_names.EVENT_DROPPED: _dropped,
}


def _class(metadata: Metadata) -> str:
    cls = metadata.get("actor_class")
    return cls.__qualname__ if isinstance(cls, type) else str(cls or "")


def _error_type(metadata: Metadata) -> str:
    kind = metadata.get("error_type")
    if kind is None and isinstance(metadata.get("reason"), BaseException):
        return error_type(metadata["reason"])
    return "" if kind is None else str(kind)


def _attributes(metadata: Metadata) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {names.ACTOR_CLASS: _class(metadata)}
    if metadata.get("name") is not None:
        attributes[names.ACTOR_NAME] = str(metadata["name"])
    return attributes
