"""What circuits hand to telemetry: transitions with their evidence, refusals, failures.

The span of a transition is made by whoever needs it first: the connection actor, which manages
the circuit, or the first refused call, which links to it. Refusals and failures are told from the
thread of the call, and only while `brama.telemetry.watching` says that anybody looks.
"""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from math import isfinite
from types import TracebackType
from typing import Final, Literal, Protocol

from brama.telemetry import (
    Call,
    Change,
    Context,
    SpanContext,
    attached,
    call,
    execute,
    failed,
    hook_names,
    in_unsampled,
    pool,
    prepare,
    refused,
    succeeded,
    traceparent,
    watching,
)

from .classify import timed_out
from .generation import Generation
from .log import Record
from .shared import Shared
from .state import State

__all__ = [
    "Traced",
    "UnderWay",
    "cause_of",
    "note_move",
    "note_outcome",
    "renew",
    "report",
    "spanned",
    "tell_failure",
    "tell_refusal",
    "tell_registered",
    "tell_success",
    "tell_transition",
    "tell_unregistered",
    "trace",
]

PATIENCE: Final = 0.05
"""Seconds to wait for the thread that makes the very span that a refused call is to link to."""

Settled = Literal["success", "failure", "ignored"]


class Traced(Protocol):
    """A breaker, as far as it is told of here."""

    name: str
    scope: str | None
    turn: Record | SpanContext | None
    state: State
    current: Generation
    shared: Shared


# Invariant: whoever makes the span of a record holds it. Not to be waited for without end, for
# the processors of an SDK and enrichers run inside, and reentrant, for one might be guarded.
_making = threading.RLock()
_in_hand: list[Record] = []  # Invariant: of whoever holds the lock.


def renew() -> None:
    """In the child of a fork: whoever held the lock is not there to release it."""
    global _making
    _making = threading.RLock()
    _in_hand.clear()


def trace(record: Record) -> Context | None:
    """The context that holds the span of a transition; it is made if it was not yet.

    None also while somebody else takes too long to make it.

    Threads: any, outside of locks.
    """
    if record.traced or record.context is None:
        return record.context
    prepare()  # what it loads the first time takes so long that others would lose patience
    if not _making.acquire(timeout=PATIENCE):
        return None
    try:
        if record in _in_hand:
            return None  # it is asked for in the middle of being made
        if not record.traced:
            _in_hand.append(record)
            try:
                record.context = _change(record).span(record.context, record.evidence)
            finally:
                # Behind the context, for it is looked at without the lock; and also if something
                # goes wrong, which must not go wrong again.
                record.traced = True
                record.evidence = ()
                _in_hand.pop()
        return record.context
    finally:
        _making.release()


def tell_transition(record: Record) -> None:
    """Count, log and announce a transition, once, with its span if it has one.

    Threads: the connection actor of its circuit.
    """
    if not record.told:
        record.told = True
        if record.data["previous_state"] is record.data["new_state"]:
            return  # a reset of a closed circuit is an event and no change
        _change(record).tell(trace(record))


def _change(record: Record) -> Change:
    data, ruled = record.data, record.ruled
    return Change(
        connection=record.connection,
        scope=record.scope,
        previous=data["previous_state"],
        new=data["new_state"],
        reason=data["reason"],
        time_ns=int(record.wall * 1e9),
        failure_count=data["failure_count"],
        duration=data["duration"],
        severity=None if ruled is None else ruled.value,
    )


def cause_of(breaker: Traced) -> str | None:
    """The ``traceparent`` of the span to which its refused calls link, if there is one.

    Threads: any, outside of locks.
    """
    return traceparent(_cause(breaker))


def _cause(breaker: Traced) -> Context | SpanContext | None:
    turn = breaker.turn
    return trace(turn) if isinstance(turn, Record) else turn


def tell_refusal(breaker: Traced, state: str, wait: float, reason: str | None) -> None:
    """A call was refused. Ask `watching.refusals` first.

    Of a call that has a span the refusal is that span's outcome.
    """
    gate = watching.gate
    if gate is not None and (gate.holds_back() or in_unsampled()):
        return
    mine = spanned(breaker)
    cause = _cause(breaker)
    number = breaker.current.number
    seconds = wait if isfinite(wait) else None
    if mine is not None:
        mine.outcome("rejected", reason)
        mine.admitted(str(state), number, probe=False)
        mine.refused(seconds, cause)
    refused(
        connection=breaker.name,
        scope=breaker.scope,
        state=str(state),
        reason=reason,
        retry_after=seconds,
        generation=number,
        cause=cause,
        span=mine is None,
    )


def tell_failure(
    breaker: Traced,
    state: str,
    reason: str | None,
    error: BaseException | None,
    *,
    generation: int,
    probe: bool,
    duration: float | None,
) -> None:
    """A call has failed and was counted so. Ask `watching` first.

    Args:
        duration: seconds since a probe began; of other calls it is known while somebody listens.
    """
    mine = under_way(breaker)
    if watching.failures or (probe and watching.probes):
        failed(
            connection=breaker.name,
            scope=breaker.scope,
            state=str(state),
            reason=reason,
            error=error,
            probe=probe,
            duration=_lasted(breaker, mine) if duration is None else duration,
            timed_out=timed_out(error, reason),
            generation=generation,
            cause=_cause(breaker),
            span=mine is None or not mine.visible,
        )


def tell_success(breaker: Traced, state: str) -> None:
    """A call went well. Ask `watching.successes` first."""
    succeeded(
        connection=breaker.name,
        scope=breaker.scope,
        state=str(state),
        duration=_lasted(breaker, under_way(breaker)),
    )


def _lasted(breaker: Traced, mine: Call | None) -> float | None:
    """Seconds that the call took; None if it had begun before anybody wanted to know."""
    if mine is None or mine.began is None:
        return None
    return breaker.shared.clock() - mine.began


def tell_registered(connection: str, scope: str | None) -> None:
    """A circuit admits calls from now on."""
    if attached(hook_names.CIRCUIT_REGISTERED):
        _announce(hook_names.CIRCUIT_REGISTERED, connection, scope)


def tell_unregistered(connection: str, scope: str | None, reason: str) -> None:
    """A circuit was taken out."""
    if attached(hook_names.CIRCUIT_UNREGISTERED):
        _announce(hook_names.CIRCUIT_UNREGISTERED, connection, scope, reason=reason)


def _announce(occurrence: str, connection: str, scope: str | None, **more: str) -> None:
    execute(
        occurrence,
        {"system_time": time.time()},
        {"connection": connection, "scope": scope, "pool": pool(connection), **more},
    )


# Calls that have a span of their own. Ask `watching.calls` first.

_under_way: Final[ContextVar[tuple[object, Call] | None]] = ContextVar("brama_call", default=None)


class UnderWay(AbstractContextManager[None]):
    """A circuit lets a call in, or hears of its end: what it says now is about this call.

    Meanwhile the call's span is current, so that a transition becomes its child, and a failure that
    is kept as evidence leads to it.
    """

    __slots__ = ("_breaker", "_call", "_former", "_token")

    def __init__(self, breaker: Traced, mine: Call) -> None:
        self._breaker = breaker
        self._call = mine

    def __enter__(self) -> None:
        self._token: Token[Context] | None = self._call.attach()
        self._former = _under_way.set((self._breaker, self._call))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            _under_way.reset(self._former)
        except ValueError:
            pass  # left in another context than it was entered in, which is over by itself
        self._call.detach(self._token)
        moves, self._call.moves = self._call.moves, []
        for record in moves:
            if record.data["previous_state"] is not record.data["new_state"]:
                self._call.moved(_change(record))


def under_way(breaker: object) -> Call | None:
    """The call of that circuit which is let in or ends here."""
    found = _under_way.get()
    return found[1] if found is not None and found[0] is breaker else None


def spanned(breaker: object) -> Call | None:
    """The same, if it has a span."""
    mine = under_way(breaker)
    return mine if mine is not None and mine.visible else None


def note_outcome(breaker: object, outcome: Settled, reason: str | None = None) -> None:
    """What a call was counted as."""
    mine = spanned(breaker)
    if mine is not None:
        mine.outcome(outcome, reason)


def note_move(breaker: object, record: Record) -> None:
    """A call has moved its circuit.

    Threads: under the lock of the breaker, so it is only noted.
    """
    mine = spanned(breaker)
    if mine is not None:
        mine.moves.append(record)


def report(
    breaker: Traced, outcome: Settled, reason: str | None = None
) -> AbstractContextManager[object]:
    """Around a report from elsewhere: its span has no length, for its call is over already."""
    mine = call(
        connection=breaker.name,
        scope=breaker.scope,
        state=str(breaker.state),
        generation=breaker.current.number,
        probe=False,
    )
    if mine is None:
        return nullcontext()
    mine.outcome(outcome, reason)
    return _Report(breaker, mine)


class _Report(UnderWay):
    """The span of a report ends with it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._call.end(error)
