"""Guarded calls: the spans of refused ones and failed probes, and of all calls by request.

A refused call leads to the transition that closed the gate, and that to the failing calls which
were its evidence: one click each.
"""

from __future__ import annotations

import random
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from . import hook_names, metrics, names
from .context import capture, is_unsampled
from .faults import error_type, swallow
from .flags import admit, holds_back, options
from .hooks import attached, execute
from .links import links
from .log_events import record_exception
from .pools import pool
from .providers import tracer

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

    from .links import Cause

__all__ = ["Call", "call", "failed", "refused", "succeeded"]

Outcome = Literal["success", "failure", "ignored", "rejected"]
REFUSED: Final = "brama.CircuitOpenError"


def refused(
    *,
    connection: str,
    scope: str | None,
    state: str,
    reason: str | None,
    retry_after: float | None = None,
    cause: Cause | None = None,
    span: bool = True,
) -> None:
    """A call was refused: make its span, ``call {pool}``, and announce it.

    Ask `watching.refusals` first; that is all that a refusal costs when nobody looks.

    Args:
        connection, scope: the circuit.
        state: the state that refused.
        reason: why the circuit is in it.
        retry_after: seconds until a call may be admitted again.
        cause: leads to the transition that closed the gate; linked to.
        span: whether a span is to be made; not for a call that has one.

    Failure: none; a fault of telemetry is logged.
    Threads: any, outside of locks. Up to 25 µs with a span, 0.5 µs without.
    """
    try:
        if holds_back("refused"):
            metrics.held_back.add("refused")
        elif span and options().spans != "none":
            _span_of_refusal(connection, scope, state, reason, retry_after, cause)
    except Exception as error:  # noqa: BLE001 - the caller gets its CircuitOpenError
        swallow("tracing a refused call", error)
    if attached(hook_names.CALL_REFUSED):
        execute(
            hook_names.CALL_REFUSED,
            {"system_time": time.time()},
            {
                "connection": connection,
                "scope": scope,
                "pool": pool(connection),
                "state": state,
                "reason": reason,
            },
        )


def _span_of_refusal(
    connection: str,
    scope: str | None,
    state: str,
    reason: str | None,
    retry_after: float | None,
    cause: Cause | None,
) -> None:
    parent = capture()
    if parent is None or (spans := tracer(names.CIRCUIT)) is None or is_unsampled(parent):
        return
    held_back = admit("refused")
    if held_back is None:
        metrics.held_back.add("refused")
        return
    from opentelemetry.trace import StatusCode

    attributes = _attributes(connection, scope, state, reason, "rejected")
    attributes[names.ERROR_TYPE] = REFUSED
    if retry_after is not None:
        attributes[names.RETRY_AFTER] = retry_after
    if held_back:
        attributes[names.HELD_BACK] = held_back
    span = spans.start_span(
        names.CALL.of(pool(connection)),
        parent,
        attributes=attributes,
        links=links([cause], "transition"),
    )
    span.set_status(StatusCode.ERROR, f"circuit {connection} is {state}")
    span.end()


def failed(
    *,
    connection: str,
    scope: str | None,
    state: str,
    reason: str | None,
    error: BaseException | None,
    probe: bool = False,
    duration: float | None = None,
    cause: Cause | None = None,
) -> None:
    """A call has failed: announce it and, of a probe, make the span, ``call {pool}``.

    Ask `watching.failures` first, or `watching.probes` of a probe. Inside a `call` there is no
    second span.

    Args:
        connection, scope: the circuit.
        state: the state it was in when the call was admitted.
        reason: the failure in a few words.
        error: the exception, if there was one.
        probe: whether it was a probe of a half-open circuit.
        duration: seconds that the call took; the span ends now.
        cause: leads to the transition that let the probe out; linked to.

    Failure: none; a fault of telemetry is logged.
    Threads: any, outside of locks.
    """
    try:
        if probe and options().spans == "exceptional":
            _span_of_probe(connection, scope, state, reason, error, duration, cause)
    except Exception as fault:  # noqa: BLE001 - the call's own outcome counts
        swallow("tracing a failed probe", fault)
    if attached(hook_names.CALL_FAILED):
        execute(
            hook_names.CALL_FAILED,
            {"system_time": time.time()},
            {
                "connection": connection,
                "scope": scope,
                "pool": pool(connection),
                "state": state,
                "reason": reason,
                "error_type": None if error is None else error_type(error),
                "probe": probe,
            },
        )


def _span_of_probe(
    connection: str,
    scope: str | None,
    state: str,
    reason: str | None,
    error: BaseException | None,
    duration: float | None,
    cause: Cause | None,
) -> None:
    parent = capture()
    if parent is None or (spans := tracer(names.CIRCUIT)) is None or is_unsampled(parent):
        return
    held_back = admit("probe")
    if held_back is None:
        metrics.held_back.add("probe")
        return
    now = time.time_ns()
    attributes = _attributes(connection, scope, state, reason, "failure")
    if held_back:
        attributes[names.HELD_BACK] = held_back
    span = spans.start_span(
        names.CALL.of(pool(connection)),
        parent,
        attributes=attributes,
        links=links([cause], "transition"),
        start_time=now - int((duration or 0.0) * 1e9),
    )
    _fail(span, error, reason)
    span.end(now)


def succeeded(*, connection: str, scope: str | None, state: str) -> None:
    """A call went well: announce it. Ask `watching.successes` first."""
    execute(
        hook_names.CALL_SUCCEEDED,
        {"system_time": time.time()},
        {"connection": connection, "scope": scope, "pool": pool(connection), "state": state},
    )


class Call:
    """The span of one guarded call, current inside the ``with`` block, and its time.

    The call's permit says how it ended (`outcome`) before the block does; otherwise an exception
    is a failure and its absence a success.

    Enter and leave it in one frame; an async guard's frame is one, too.
    """

    __slots__ = ("_attached", "_began", "_connection", "_outcome", "_reason", "_span", "_token")

    def __init__(self, span: Span, attached: Context, connection: str) -> None:
        self._span = span
        self._attached = attached
        self._connection = connection
        self._outcome: Outcome | None = None
        self._reason: str | None = None
        self._token: Token[Context] | None = None
        self._began = 0.0

    def outcome(self, outcome: Outcome, reason: str | None = None) -> None:
        """How the call ended, in the words of its circuit."""
        self._outcome, self._reason = outcome, reason

    def settle(self, outcome: Outcome) -> None:
        """What holds if nobody has said or will say how the call ended."""
        if self._outcome is None:
            self._outcome = outcome

    def leave(self) -> None:
        """Be current here no more; the call goes on elsewhere, and is entered there."""
        try:
            self._detach()
        except Exception as error:  # noqa: BLE001 - the call goes on
            swallow("leaving the span of a call", error)

    def _detach(self) -> None:
        from opentelemetry.context import detach, get_current

        token, self._token = self._token, None
        # Left in another context than it was entered in, there is nothing to restore.
        if token is not None and get_current() is self._attached:
            detach(token)

    def link(self, cause: Cause | None) -> None:
        """Lead from this call to the transition that closed the gate."""
        for link in links([cause], "transition"):
            self._span.add_link(link.context, link.attributes)

    def __enter__(self) -> Self:
        from opentelemetry.context import attach

        self._token = attach(self._attached)
        if not self._began:  # not when a call goes on elsewhere
            self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._end(exc)
        except Exception as error:  # noqa: BLE001 - the call's own outcome counts
            swallow("ending the span of a call", error)

    def _end(self, exc: BaseException | None) -> None:
        self._detach()
        outcome: Outcome = self._outcome or _outcome(exc)
        kind = error_type(exc) if outcome in {"failure", "rejected"} and exc is not None else ""
        metrics.durations.record(
            time.perf_counter() - self._began, pool(self._connection), outcome, kind
        )
        self._span.set_attribute(names.OUTCOME, outcome)
        if self._reason is not None:
            self._span.set_attribute(names.REASON, self._reason)
        if outcome in {"failure", "rejected"}:
            _fail(self._span, exc, self._reason)
        self._span.end()


def _outcome(exc: BaseException | None) -> Outcome:
    if exc is None:
        return "success"
    return "failure" if isinstance(exc, Exception) else "ignored"


def call(*, connection: str, scope: str | None, state: str) -> Call | None:
    """Begin the span of a guarded call, ``call {pool}``; None when it is to have none.

    Ask `watching.calls` first. A share of `sample` of all calls has one.

    Failure: none; a fault of telemetry is logged and the answer is None.
    Threads: any.
    """
    try:
        share = options().sample
        if share < 1 and random.random() >= share:
            return None
        parent = capture()
        if parent is None or (spans := tracer(names.CIRCUIT)) is None:
            return None
        from opentelemetry.trace import set_span_in_context

        span = spans.start_span(
            names.CALL.of(pool(connection)),
            parent,
            attributes=_attributes(connection, scope, state, None, None),
        )
        return Call(span, set_span_in_context(span, parent), connection)
    except Exception as error:  # noqa: BLE001 - the call must be made
        swallow("beginning the span of a call", error)
        return None


def _attributes(
    connection: str, scope: str | None, state: str, reason: str | None, outcome: Outcome | None
) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        names.CIRCUIT_NAME: connection,
        names.POOL: pool(connection),
        names.STATE: str(state),
    }
    if outcome is not None:
        attributes[names.OUTCOME] = outcome
    if scope is not None:
        attributes[names.CIRCUIT_SCOPE] = scope
    if reason is not None:
        attributes[names.REASON] = reason
    return attributes


def _fail(span: Any, error: BaseException | None, reason: str | None) -> None:
    from opentelemetry.trace import StatusCode

    span.set_status(StatusCode.ERROR, reason or (str(error) if error is not None else None))
    if error is None:
        span.set_attribute(names.ERROR_TYPE, "reported")
        return
    span.set_attribute(names.ERROR_TYPE, error_type(error))
    if span.is_recording():
        record_exception(
            error,
            span,
            severity="warning",
            context=None,
            attributes={},
            occurrence=hook_names.CALL_FAILED,
            metadata={"reason": reason, "error_type": error_type(error)},
        )
