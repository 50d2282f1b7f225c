"""Guarded calls: what is told of them, and the spans of refused ones and failed probes.

A refused call leads to the transition that closed the gate, and that to the failing calls which
were its evidence: one click each.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from . import hook_names, names
from .call_spans import attributes_of, fail
from .context import capture, is_unsampled
from .enrichers import adorn
from .faults import error_type, swallow
from .flags import admit, options
from .foreign import AttributeValue, Cause, Context, Span
from .hooks import attached, execute
from .links import links
from .pools import pool
from .providers import tracer

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["failed", "refused", "succeeded"]

REFUSED: Final = "brama.CircuitOpenError"


def refused(
    *,
    connection: str,
    scope: str | None,
    state: str,
    reason: str | None,
    retry_after: float | None = None,
    generation: int | None = None,
    cause: Cause | None = None,
    span: bool = True,
) -> None:
    """A call was refused: make its span, ``call {pool}``, and announce it.

    Ask `watching.refusals` first; that is all that a refusal costs when nobody looks. Then
    `watching.gate`, which is all that one costs for which there is no room.

    Args:
        connection, scope: the circuit.
        state: the state that refused.
        reason: why the circuit is in it.
        retry_after: seconds until a call may be admitted again.
        generation: the number of the circuit's stay in that state.
        cause: leads to the transition that closed the gate; linked to.
        span: whether a span is to be made; not for a call that has one.

    Failure: none; a fault of telemetry is logged.
    Threads: any, outside of locks. Up to 25 µs with a span.
    """
    metadata: dict[str, Any] = {
        "connection": connection,
        "scope": scope,
        "pool": pool(connection),
        "state": state,
        "reason": reason,
    }
    try:
        room = _room("refused") if span and options().spans != "none" else None
        if room is not None:
            from opentelemetry.trace import StatusCode

            attributes = attributes_of(
                connection,
                scope,
                state,
                generation=generation,
                probe=False,
                reason=reason,
                outcome="rejected",
            )
            attributes[names.ERROR_TYPE] = REFUSED
            if retry_after is not None:
                attributes[names.RETRY_AFTER] = retry_after
            adorn(attributes, hook_names.CALL_REFUSED, metadata)
            made = _start(room, metadata["pool"], attributes, cause, time.time_ns())
            made.set_status(StatusCode.ERROR, f"circuit {connection} is {state}")
            made.end()
    except Exception as error:  # noqa: BLE001 - the caller gets its CircuitOpenError
        swallow("tracing a refused call", error)
    if attached(hook_names.CALL_REFUSED):
        execute(hook_names.CALL_REFUSED, {"system_time": time.time()}, metadata)


def _room(kind: str) -> tuple[Context, Tracer, int] | None:
    """Parent, tracer and how many were held back, if a span of this kind is to be made."""
    parent = capture()
    if parent is None or (spans := tracer(names.CIRCUIT)) is None or is_unsampled(parent):
        return None
    held_back = admit(kind)
    return None if held_back is None else (parent, spans, held_back)


def _start(
    room: tuple[Context, Tracer, int],
    pool: str,
    attributes: dict[str, AttributeValue],
    cause: Cause | None,
    began_ns: int,
) -> Span:
    parent, spans, held_back = room
    if held_back:
        attributes[names.HELD_BACK] = held_back
    return spans.start_span(
        names.CALL.of(pool),
        parent,
        attributes=attributes,
        links=links([cause], "transition"),
        start_time=began_ns,
    )


def failed(
    *,
    connection: str,
    scope: str | None,
    state: str,
    reason: str | None,
    error: BaseException | None,
    probe: bool = False,
    duration: float | None = None,
    timed_out: bool = False,
    generation: int | None = None,
    cause: Cause | None = None,
    span: bool = True,
) -> None:
    """A call has failed: announce it and, of a probe, make the span, ``call {pool}``.

    Ask `watching.failures` first, or `watching.probes` of a probe.

    Args:
        connection, scope: the circuit.
        state: the state it was in when the call was admitted.
        reason: the failure in a few words.
        error: the exception, if there was one.
        probe: whether it was a probe of a half-open circuit.
        duration: seconds that the call took, if that is known; the span ends now.
        timed_out: whether it failed because it took too long.
        generation: the number of the circuit's stay in that state.
        cause: leads to the transition that let the probe out; linked to.
        span: whether a span is to be made; not for a call that has one.

    Failure: none; a fault of telemetry is logged.
    Threads: any, outside of locks.
    """
    metadata: dict[str, Any] = {
        "connection": connection,
        "scope": scope,
        "pool": pool(connection),
        "state": state,
        "reason": reason,
        "error_type": None if error is None else error_type(error),
        "probe": probe,
        "timed_out": timed_out,
    }
    try:
        room = _room("probe") if probe and span and options().spans != "none" else None
        if room is not None:
            attributes = attributes_of(
                connection,
                scope,
                state,
                generation=generation,
                probe=True,
                reason=reason,
                outcome="failure",
            )
            adorn(attributes, hook_names.CALL_FAILED, metadata)
            now = time.time_ns()
            began = now - int((duration or 0.0) * 1e9)
            made = _start(room, metadata["pool"], attributes, cause, began)
            fail(made, error, reason)
            made.end(now)
    except Exception as fault:  # noqa: BLE001 - the call's own outcome counts
        swallow("tracing a failed probe", fault)
    if attached(hook_names.CALL_FAILED):
        execute(hook_names.CALL_FAILED, _measured(duration), metadata)


def _measured(duration: float | None) -> dict[str, float]:
    measurements = {"system_time": time.time()}
    if duration is not None:
        measurements["duration"] = duration
    return measurements


def succeeded(
    *, connection: str, scope: str | None, state: str, duration: float | None = None
) -> None:
    """A call went well: announce it. Ask `watching.successes` first."""
    execute(
        hook_names.CALL_SUCCEEDED,
        _measured(duration),
        {"connection": connection, "scope": scope, "pool": pool(connection), "state": state},
    )
