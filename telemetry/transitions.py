"""State changes: the span, the log event, the count, the line, and the word on the hook bus.

    failing call            the user's own span, from which `capture()` took the context
    └─ transition open      dated when it happened; linked to the failing calls before it
       └─ publish state_change       `publish`, one per event with subscribers
          └─ process state_change    `process`, one per handler invocation

Each step takes the context of the one before it and gives its own. None means that nobody is
tracing this, and goes through the whole chain at the price of a test.

Spans are started and ended by hand: `start_as_current_span` costs microseconds without an SDK,
and marks every ancestor as failed when an exception passes through.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import attrs

from . import hook_names, lines, metrics, names
from .context import is_unsampled, traceparent
from .enrichers import adorn
from .faults import swallow
from .flags import admit
from .foreign import AttributeValue, Cause, Context
from .hooks import attached, execute
from .links import links
from .log_events import emit
from .pools import pool
from .providers import tracer
from .severity import Severity

__all__ = ["Change", "transition"]


@attrs.frozen(eq=False)
class Change:
    """A state change of a circuit.

    Attributes:
        connection: the circuit's name; on the span only, the metric has its pool.
        scope: the circuit's scope, None for the default one.
        previous: the state that was left.
        new: the state that was entered.
        reason: why, if there is a reason.
        time_ns: when it happened, `time.time_ns()`.
        failure_count: failures counted at that moment.
        duration: seconds that the circuit had been in `previous`.
        severity: of the log event and the line; None: ``"warning"`` to open, else ``"info"``. A
            severity provider has the last word.
    """

    connection: str
    scope: str | None
    previous: str
    new: str
    reason: str | None
    time_ns: int
    failure_count: int | None = None
    duration: float | None = None
    severity: Severity | None = None

    def span(self, parent: Context | None, evidence: Iterable[Cause | None] = ()) -> Context | None:
        """Make the span, ``transition {new}``; a context that holds it, or None.

        It starts when the change happened and ends now; `evidence` are the failing calls that led
        to it, as contexts, span contexts or `traceparent` texts.

        Failure: none; a fault of telemetry is logged.
        Threads: any, outside of locks.
        """
        try:
            if parent is None or (spans := tracer(names.CIRCUIT)) is None:
                return None
            held_back: int | None = 0
            if not is_unsampled(parent):
                held_back = admit("transition")
                if held_back is None:
                    return None
            from opentelemetry.trace import set_span_in_context

            attributes = self.attributes()
            if held_back:
                attributes[names.HELD_BACK] = held_back
            adorn(attributes, hook_names.CIRCUIT_TRANSITION, self.metadata(parent))
            span = spans.start_span(
                names.TRANSITION.of(self.new),
                parent,
                attributes=attributes,
                links=links(evidence, "evidence"),
                start_time=self.time_ns,
            )
            # A clock that was set back in between must not make a span that ends before it starts.
            span.end(max(self.time_ns, time.time_ns()))
            return set_span_in_context(span, parent)
        except Exception as error:  # noqa: BLE001 - a state change must not fail for its span
            swallow("tracing a transition", error)
            return None

    def tell(self, context: Context | None) -> None:
        """Count it, log it and announce it; `context` holds its span, or that of its cause.

        Failure: none; a fault of telemetry is logged, and the change is counted all the same.
        Threads: any, outside of locks; once per change.
        """
        try:
            metrics.transitions.add(pool(self.connection), self.new, self.previous)
            metrics.register()
            usual: Severity = "warning" if self.new in {"open", "forced_open"} else "info"
            severity = self.severity or usual
            metadata = self.metadata(context)
            emit(
                names.STATE_CHANGED,
                occurrence=hook_names.CIRCUIT_TRANSITION,
                metadata=metadata,
                severity=severity,
                body=f"circuit {self.connection}: {self.previous} -> {self.new}",
                attributes=self.attributes(),
                context=context,
                time_ns=self.time_ns,
            )
            lines.state_changed(severity, metadata, trace=traceparent(context))
        except Exception as error:  # noqa: BLE001 - a state change must not fail for its log
            swallow("telling of a transition", error)
        if attached(hook_names.CIRCUIT_TRANSITION):
            self._announce(context)

    def _announce(self, context: Context | None) -> None:
        measurements: dict[str, int | float] = {"system_time": self.time_ns / 1e9}
        if self.duration is not None:
            measurements["duration"] = self.duration
        if self.failure_count is not None:
            measurements["failure_count"] = self.failure_count
        execute(hook_names.CIRCUIT_TRANSITION, measurements, self.metadata(context))

    def metadata(self, context: Context | None) -> dict[str, Any]:
        """What listeners, enrichers and severity providers are given."""
        return {
            "connection": self.connection,
            "scope": self.scope,
            "pool": pool(self.connection),
            "previous_state": self.previous,
            "new_state": self.new,
            "reason": self.reason,
            "context": context,
        }

    def attributes(self) -> dict[str, AttributeValue]:
        """Of the span and of the log event."""
        attributes: dict[str, AttributeValue] = {
            names.CIRCUIT_NAME: self.connection,
            names.POOL: pool(self.connection),
            names.STATE: str(self.new),
            names.STATE_FROM: str(self.previous),
        }
        if self.scope is not None:
            attributes[names.CIRCUIT_SCOPE] = self.scope
        if self.reason is not None:
            attributes[names.REASON] = self.reason
        if self.failure_count is not None:
            attributes[names.FAILURES] = self.failure_count
        if self.duration is not None:
            attributes[names.STATE_DURATION] = self.duration
        return attributes


def transition(
    parent: Context | None,
    *,
    connection: str,
    scope: str | None,
    previous: str,
    new: str,
    reason: str | None,
    time_ns: int,
    failure_count: int | None = None,
    duration: float | None = None,
    evidence: Iterable[Cause | None] = (),
) -> Context | None:
    """Make the span of a state change, and tell of it: both halves of a `Change` at once.

    Args:
        parent: what `capture()` returned where it happened; None makes no span.
        connection, scope, previous, new, reason, time_ns, failure_count, duration: see `Change`.
        evidence: the failing calls that led to it, as contexts or `traceparent` texts.

    Returns:
        A context that holds the span, to be given to `publish`; None when nobody is tracing.

    Failure: none; a fault of telemetry is logged, and the state change is counted all the same.
    Threads: any.
    """
    change = Change(connection, scope, previous, new, reason, time_ns, failure_count, duration)
    context = change.span(parent, evidence)
    change.tell(parent if context is None else context)
    return context
