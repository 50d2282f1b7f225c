"""Trace contexts: taken from a caller, carried through mailboxes, written as W3C text.

A context is captured where something happens and used where it is dealt with, in another thread
and later. Inside one process it travels as OpenTelemetry's own `Context`; in an event, which may
be stored or leave the process, as a `traceparent` (W3C Trace Context).
"""

from __future__ import annotations

import re
import sys
from typing import Any, Final, Self

from .faults import swallow
from .foreign import Cause, Context, SpanContext
from .providers import tracing

__all__ = [
    "Trace",
    "capture",
    "context_of",
    "is_sampled",
    "recorded_span",
    "span_context_of",
    "traceparent",
]

_modules = sys.modules
_W3C = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_VERSION_0_LENGTH = 55
_ODD = "13579bdf"


def capture() -> Context | None:
    """The caller's current trace context, or None when nobody is tracing.

    None means off: no provider, `OTEL_SDK_DISABLED`, or inside an exporter (instrumentation
    suppressed), whose own calls must not make spans. On and outside of any span, it is an empty
    `Context`, which is false: test ``is None``.

    Failure: none; whatever goes wrong is logged and the answer is None.
    Threads: any, also under a lock: no lock taken, nothing imported, well under 1 µs.
    """
    try:
        if not tracing():
            return None
        api = _modules["opentelemetry.context"]
        current: Context = api.get_current()
        return None if current.get(api._SUPPRESS_INSTRUMENTATION_KEY) else current
    except Exception as error:  # noqa: BLE001 - the caller is a guarded call
        swallow("capturing the trace context", error)
        return None


def recorded_span(context: Context) -> SpanContext | None:
    """What names the span in `context`; None if there is none, or none that is recorded.

    For whoever keeps it for long: a `Context`, or a span, keeps all that the application has hung
    on both of them, some kilobytes.

    Failure, threads: as `capture`.
    """
    try:
        # As `get_current_span` does it, which takes twice as long.
        span: Any = context.get(_modules["opentelemetry.trace.propagation"]._SPAN_KEY)
        if span is None:
            return None
        found: SpanContext = span.get_span_context()
        return found if found.trace_flags & 1 else None
    except Exception as error:  # noqa: BLE001 - the caller is a guarded call
        swallow("looking at the current span", error)
        return None


def traceparent(of: Context | SpanContext | None) -> str | None:
    """The W3C form of a span, or of that in a context; None when it holds none.

    Example:
        >>> traceparent(context_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
        '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

    Failure, threads: as `capture`.
    """
    span = span_context_of(of)
    if span is None:
        return None
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & 0xFF:02x}"


_MARK: Final = "__brama_context__"


def mark(error: BaseException, context: Context | None) -> None:
    """Have `error` lead to the span in `context`, unless it leads to one already.

    So whoever is told of the error alone, such as a supervisor, can link to where it was raised.

    Failure: none; an error that refuses leads nowhere.
    """
    if context:
        try:
            error.__dict__.setdefault(_MARK, context)
        except Exception:  # noqa: BLE001 - a user's class may do as it likes with its dict
            pass


def marked(error: BaseException | None) -> Context | None:
    """The context that `mark` has given to `error`."""
    try:
        return getattr(error, _MARK, None)
    except Exception:  # noqa: BLE001 - as in `mark`
        return None


class Trace(str):
    """A valid `traceparent` that remembers, inside this process, to how many subscribers it went.

    Stored, pickled or sent it is the plain text.
    """

    __slots__ = ("_context", "fanout")

    fanout: int
    _context: Context | None

    def __new__(cls, text: str, fanout: int = 1) -> Self:
        made = super().__new__(cls, text)
        made.fanout = fanout
        made._context = None
        return made

    def context(self) -> Context:
        """What `context_of` makes of it, made once for all deliveries of one event."""
        made = self._context
        if made is None:
            made = self._context = context_of(str(self))
        return made

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


def span_context_of(cause: Cause | None) -> SpanContext | None:
    """The span that a cause leads to; None when it leads to none.

    Failure, threads: as `capture`.
    """
    if cause is None:
        return None
    try:
        span: Any = cause
        if not isinstance(cause, tuple):  # as a `SpanContext` is
            context = context_of(cause) if isinstance(cause, str) else cause
            # Whoever has made a context has loaded it.
            span = _modules["opentelemetry.trace"].get_current_span(context).get_span_context()
        found: SpanContext | None = span if span.is_valid else None
        return found
    except Exception as error:  # noqa: BLE001 - the caller is a refused call, or publishes an event
        swallow("looking at a span", error)
        return None


def is_unsampled(context: Context) -> bool:
    """Whether `context` holds a span whose trace is not recorded."""
    api = _modules["opentelemetry.trace"]
    span: SpanContext = api.get_current_span(context).get_span_context()
    return span.trace_id != 0 and not span.trace_flags & 1


def in_unsampled() -> bool:
    """Whether the current span is one whose trace is not recorded. 0.2 µs, imports nothing.

    Ask only while somebody is tracing.
    """
    try:
        # As `get_current_span` does it, which takes twice as long.
        key = _modules["opentelemetry.trace.propagation"]._SPAN_KEY
        current = _modules["opentelemetry.context"].get_current().get(key)
        if current is None:
            return False
        span: SpanContext = current.get_span_context()
        return not span.trace_flags & 1 and span.trace_id != 0
    except Exception as error:  # noqa: BLE001 - the caller is a refused call
        swallow("looking at the current span", error)
        return False


def context_of(traceparent: str) -> Context:
    """A context that holds the remote span named by `traceparent`, and nothing else.

    Text that is no valid `traceparent` gives an empty context: the W3C rule is to start a new
    trace then, not to fail.
    """
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    parts = _parse(traceparent)
    if parts is None:
        return Context()
    trace_id, span_id, flags = parts
    remote = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(remote), Context())


def is_sampled(traceparent: str) -> bool:
    """Whether `traceparent` is valid and says that its trace is recorded."""
    if type(traceparent) is Trace:  # one of ours: every delivery asks
        return traceparent[-1] in _ODD
    parts = _parse(traceparent)
    return parts is not None and bool(parts[2] & 1)


def _parse(traceparent: str) -> tuple[int, int, int] | None:
    found = _W3C.fullmatch(traceparent)
    if found is None:
        return None
    # Version 00 is exactly these four fields; later versions may append some.
    if traceparent.startswith("00") and len(traceparent) != _VERSION_0_LENGTH:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    if not trace_id or not span_id:
        return None
    return trace_id, span_id, flags
