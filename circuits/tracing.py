"""What circuits hand to telemetry: transitions with their evidence, refusals, failures.

The span of a transition is made by whoever needs it first: the connection actor, which manages
the circuit, or the first refused call, which links to it. Refusals and failures are told from the
thread of the call, and only while `brama.telemetry.watching` says that anybody looks.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from math import isfinite
from typing import TYPE_CHECKING, Final, Protocol

from brama.telemetry import Call, Change, failed, refused, succeeded, watching

from .errors import CircuitOpenError
from .log import Record

if TYPE_CHECKING:
    from opentelemetry.context import Context

__all__ = [
    "Traced",
    "reject",
    "renew",
    "tell_failure",
    "tell_refusal",
    "tell_success",
    "tell_transition",
    "trace",
    "under_way",
]

PATIENCE: Final = 0.05
"""Seconds to wait for the thread that makes the very span that a refused call is to link to."""

under_way: Final[ContextVar[Call | None]] = ContextVar("brama_call", default=None)
"""The span of the guarded call that runs in this context, while all calls have one."""


class Traced(Protocol):
    """A breaker, as far as it is told of here."""

    name: str
    scope: str | None
    turn: Record | None


# Invariant: whoever makes the span of a record holds it. Not to be waited for without end, for
# the processors of an SDK run inside, and reentrant, for one of them might be guarded.
_making = threading.RLock()


def renew() -> None:
    """In the child of a fork: whoever held the lock is not there to release it."""
    global _making
    _making = threading.RLock()


def trace(record: Record) -> Context | None:
    """The context that holds the span of a transition; it is made if it was not yet.

    Threads: any, outside of locks.
    """
    if record.traced or record.context is None:
        return record.context
    if not _making.acquire(timeout=PATIENCE):
        return None
    try:
        if not record.traced:
            # First, for whatever goes wrong must not go wrong again.
            record.traced = True
            record.context = _change(record).span(record.context, record.evidence)
            record.evidence = ()
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
    data = record.data
    return Change(
        connection=record.connection,
        scope=record.scope,
        previous=data["previous_state"],
        new=data["new_state"],
        reason=data["reason"],
        time_ns=int(record.wall * 1e9),
        failure_count=data["failure_count"],
        duration=data["duration"],
    )


def _cause(breaker: Traced) -> Context | None:
    turn = breaker.turn
    return None if turn is None else trace(turn)


def tell_refusal(breaker: Traced, state: str, wait: float, reason: str | None) -> None:
    """A call was refused. Ask `watching.refusals` first.

    Inside a span of its own the refusal is that span's outcome.
    """
    refused(
        connection=breaker.name,
        scope=breaker.scope,
        state=str(state),
        reason=reason,
        retry_after=wait if isfinite(wait) else None,
        cause=_cause(breaker),
        span=under_way.get() is None,
    )


def tell_failure(
    breaker: Traced,
    state: str,
    reason: str | None,
    error: BaseException | None,
    *,
    probe: bool,
    duration: float | None,
) -> None:
    """A call has failed and was counted so. Ask `watching` first."""
    call = under_way.get()
    if call is not None:
        call.outcome("failure", reason)
    if watching.failures or (probe and watching.probes):
        failed(
            connection=breaker.name,
            scope=breaker.scope,
            state=str(state),
            reason=reason,
            error=error,
            probe=probe,
            duration=duration,
            cause=_cause(breaker),
        )


def tell_success(breaker: Traced, state: str) -> None:
    """A call went well. Ask `watching.successes` first."""
    succeeded(connection=breaker.name, scope=breaker.scope, state=str(state))


def reject(call: Call, breaker: Traced, error: CircuitOpenError) -> None:
    """The call that has a span was refused."""
    call.outcome("rejected", error.reason)
    call.link(_cause(breaker))
