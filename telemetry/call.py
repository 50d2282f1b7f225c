"""The span of one guarded call, while all calls have one."""

from __future__ import annotations

import gc
import random
import threading
import time
from collections import deque
from contextvars import Token
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from . import hook_names, metrics, names
from .call_spans import BAD, Outcome, attributes_of, fail
from .context import capture
from .enrichers import adornment
from .faults import error_type, swallow
from .flags import options, watching
from .foreign import Cause, Context, Span
from .links import links
from .log_events import wants_span_events
from .pools import pool
from .providers import tracer
from .transitions import Change

__all__ = ["Call", "call"]

OCCURRENCES: Final[dict[Outcome, str]] = {
    "success": hook_names.CALL_SUCCEEDED,
    "failure": hook_names.CALL_FAILED,
    "rejected": hook_names.CALL_REFUSED,
}
"""By what the span of a call is enriched; what is ignored is no occurrence."""


class Call:
    """The span of one guarded call, ``call {pool}``, and its time.

    It is current where it is attached and nowhere else: a call that goes on in another task or
    between two items of a generator must not be found by whoever runs there. As a context manager
    it is current inside the ``with`` block and ends with it.

    How the call went is said by its circuit (`outcome`); what nobody has said is a failure if the
    block was left by an exception and a success otherwise.

    Attributes:
        began: when it began, by its circuit's clock; None if that is not known.
        moves: what the circuit has noted of transitions that this call has brought about; see
            `moved`. Appended to under the circuit's lock.
        visible: whether it has a span at all.
    """

    visible: ClassVar[bool] = True

    __slots__ = (
        "_began",
        "_inside",
        "_outcome",
        "_reason",
        "_span",
        "_whose",
        "_token",
        "began",
        "moves",
    )

    def __init__(
        self, span: Span, inside: Context, whose: dict[str, Any], began: float | None = None
    ) -> None:
        self._span = span
        self._inside = inside
        self._whose = whose
        self._outcome: Outcome | None = None
        self._reason: str | None = None
        self._token: Token[Context] | None = None
        self._began = time.perf_counter()
        self.began = began
        self.moves: list[Any] = []

    # Where it is current

    def attach(self) -> Token[Context] | None:
        """Make the span current; what is returned is for `detach`, in the same frame."""
        try:
            from opentelemetry.context import attach

            return attach(self._inside)
        except Exception as error:  # noqa: BLE001 - the call goes on
            swallow("entering the span of a call", error)
            return None

    def detach(self, token: Token[Context] | None) -> None:
        """Have what was current before be current again.

        Also when the code inside has left a span of its own current: that must not leak either.
        """
        if token is None:
            return
        try:
            token.var.reset(token)
        except ValueError:
            pass  # left in another context than it was entered in, which is over by itself
        except Exception as error:  # noqa: BLE001 - the call goes on
            swallow("leaving the span of a call", error)

    def __enter__(self) -> Self:
        self._token = self.attach()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        token, self._token = self._token, None
        self.detach(token)
        self.end(exc)

    # What becomes of it

    def admitted(self, state: str, generation: int, *, probe: bool) -> None:
        """The circuit has let it pass, or refused it, in this state."""
        self._whose["state"] = str(state)
        try:
            self._span.set_attribute(names.STATE, str(state))
            self._span.set_attribute(names.GENERATION, generation)
            self._span.set_attribute(names.PROBE, probe)
        except Exception as error:  # noqa: BLE001 - the call goes on
            swallow("noting who has let a call in", error)

    def outcome(self, outcome: Outcome, reason: str | None = None) -> None:
        """How the call ended, in the words of its circuit."""
        self._outcome, self._reason = outcome, reason

    def settle(self, outcome: Outcome) -> None:
        """What holds if nobody has said how the call ended."""
        if self._outcome is None:
            self._outcome = outcome

    def moved(self, change: Change) -> None:
        """The call has brought this transition about: an event of its span.

        As with exceptions, `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN=logs` leaves it to the log event
        of the same name, which there is in any case.
        """
        try:
            if self._span.is_recording() and wants_span_events():
                self._span.add_event(
                    names.STATE_CHANGED.name, change.attributes(), timestamp=change.time_ns
                )
        except Exception as error:  # noqa: BLE001 - the call's own outcome counts
            swallow("noting a transition in the span of its call", error)

    def refused(self, retry_after: float | None, cause: Cause | None) -> None:
        """Lead from this call to the transition that closed the gate."""
        try:
            if retry_after is not None:
                self._span.set_attribute(names.RETRY_AFTER, retry_after)
            for link in links([cause], "transition"):
                self._span.add_link(link.context, link.attributes)
        except Exception as error:  # noqa: BLE001 - the call is refused all the same
            swallow("noting why a call was refused", error)

    def end(self, error: BaseException | None = None) -> None:
        """The call is over; `error` is what it has raised.

        Failure: none; a fault of telemetry is logged.
        Threads: any. By the garbage collector it is ended later, for the processors of an SDK run
        inside, which may be what the collector has interrupted.
        """
        if _collecting == threading.get_ident():
            self.abandon(error)
            return
        self._end(error, time.time_ns(), time.perf_counter())

    def abandon(self, error: BaseException | None = None) -> None:
        """The same for a finalizer: the call is over now, and its span is ended by the next one."""
        if self._outcome is None:
            self._outcome = _outcome(error)
        # Without the error, which would keep the frames alive that are being collected.
        _abandoned.append((self, time.time_ns(), time.perf_counter()))

    def _end(self, exc: BaseException | None, at: int, now: float) -> None:
        try:
            outcome: Outcome = self._outcome or _outcome(exc)
            bad = outcome in BAD
            kind = error_type(exc) if bad and exc is not None else ""
            metrics.durations.record(now - self._began, self._whose["pool"], outcome, kind)
            self._span.set_attribute(names.OUTCOME, outcome)
            if self._reason is not None:
                self._span.set_attribute(names.REASON, self._reason)
            if bad:
                # A refusal's exception is Brama's own: the attributes and the link say all of it,
                # as in the spans of refused calls alone.
                fail(self._span, exc, self._reason, shown=outcome != "rejected")
            self._adorn(outcome, kind)
            self._span.end(at)
        except Exception as error:  # noqa: BLE001 - the call's own outcome counts
            swallow("ending the span of a call", error)

    def _adorn(self, outcome: Outcome, kind: str) -> None:
        occurrence = OCCURRENCES.get(outcome)
        if occurrence is not None:
            told = {**self._whose, "reason": self._reason, "error_type": kind or None}
            for name, value in adornment(occurrence, told).items():
                if name not in names.ATTRIBUTES:
                    self._span.set_attribute(name, value)


class TimedCall(Call):
    """A call without a span, of which somebody wants to hear how long it took."""

    __slots__ = ()
    visible = False

    def __init__(self, began: float) -> None:
        self.began = began
        self.moves = []

    def attach(self) -> None:
        """There is nothing to be current."""

    def detach(self, token: object) -> None:
        """There is nothing to be current."""

    def admitted(self, state: str, generation: int, *, probe: bool) -> None:
        """There is no span to say it."""

    def outcome(self, outcome: Outcome, reason: str | None = None) -> None:
        """There is no span to say it."""

    def settle(self, outcome: Outcome) -> None:
        """There is no span to say it."""

    def moved(self, change: Change) -> None:
        """There is no span to say it."""

    def refused(self, retry_after: float | None, cause: Cause | None) -> None:
        """There is no span to say it."""

    def end(self, error: BaseException | None = None) -> None:
        """There is no span to end."""

    def abandon(self, error: BaseException | None = None) -> None:
        """There is no span to end."""


def _outcome(exc: BaseException | None) -> Outcome:
    if exc is None:
        return "success"
    return "failure" if isinstance(exc, Exception) else "ignored"


_abandoned: Final[deque[tuple[Call, int, float]]] = deque()
_collecting: int | None = None  # the thread in which the garbage collector is at work


def _note_collection(phase: str, _info: object) -> None:
    global _collecting
    _collecting = threading.get_ident() if phase == "start" else None


def end_abandoned() -> None:
    """End the spans of the calls that were given up, each at its own time.

    Threads: any, but for finalizers.
    """
    while _abandoned:
        try:
            given_up, at, now = _abandoned.popleft()
        except IndexError:  # another thread was faster
            return
        given_up._end(None, at, now)


def call(
    *,
    connection: str,
    scope: str | None,
    state: str,
    generation: int | None = None,
    probe: bool | None = None,
    began: float | None = None,
) -> Call | None:
    """Begin the span of a guarded call; None when it is to have none. It is not current yet.

    Ask `watching.calls` first. A share of `sample` of all calls has one. A call without a span is a
    `TimedCall` while somebody listens for how long calls take.

    Args:
        connection, scope: the circuit.
        state: the one it is in; `Call.admitted` says which has decided.
        generation, probe: see `Call.admitted`, if they are known by now.
        began: the present reading of the circuit's clock.

    Failure: none; a fault of telemetry is logged and the answer is None.
    Threads: any.
    """
    made: Call | None = None
    if began is not None and (watching.successes or watching.failures):
        made = TimedCall(began)
    try:
        if _abandoned:
            end_abandoned()
        if not watching.spans:
            return made
        share = options().sample
        if share < 1 and random.random() >= share:
            return made
        parent = capture()
        if parent is None or (spans := tracer(names.CIRCUIT)) is None:
            return made
        if _note_collection not in gc.callbacks:
            gc.callbacks.append(_note_collection)
        from opentelemetry.trace import set_span_in_context

        span = spans.start_span(
            names.CALL.of(pool(connection)),
            parent,
            attributes=attributes_of(connection, scope, state, generation=generation, probe=probe),
        )
        whose = {"connection": connection, "scope": scope, "pool": pool(connection), "state": state}
        return Call(span, set_span_in_context(span, parent), whose, began)
    except Exception as error:  # noqa: BLE001 - the call must be made
        swallow("beginning the span of a call", error)
        return made
