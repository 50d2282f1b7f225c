"""Permits whose call has a span: what guards are while every call has one (`spans="calls"`)."""

from __future__ import annotations

from contextvars import Token
from datetime import timedelta
from types import TracebackType
from typing import Self

from brama.telemetry import Call, call, watching

from .breaker import Breaker
from .errors import CircuitOpenError
from .permit import Bystander, Permit
from .tracing import reject, under_way

__all__ = ["SpannedBystander", "SpannedPermit", "permit_for"]


class SpannedPermit(Permit):
    """A permit that begins a span when it is entered and ends it when it is left.

    The span is current inside the block, so that what the client library records becomes its
    child. How the call ended is said by the circuit, which judges it.
    """

    __slots__ = ("_call", "_token")

    _call: Call | None
    _token: Token[Call | None] | None

    def __init__(self, breaker: Breaker) -> None:
        super().__init__(breaker)
        self._call = self._token = None

    def _begin(self) -> None:
        if self._call is None:
            breaker = self._breaker
            self._call = call(
                connection=breaker.name, scope=breaker.scope, state=str(breaker.state)
            )
        if self._call is not None and self._token is None:
            self._call.__enter__()
            self._token = under_way.set(self._call)

    def __enter__(self) -> Self:
        self._begin()
        try:
            return super().__enter__()
        except BaseException as error:
            self._refused(error)
            raise

    async def __aenter__(self) -> Self:
        self._begin()
        try:
            return await super().__aenter__()
        except BaseException as error:
            self._refused(error)
            raise

    def _refused(self, error: BaseException) -> None:
        if self._call is not None:
            if isinstance(error, CircuitOpenError):
                reject(self._call, self._breaker, error)
            self._end(error)

    def suspend(self) -> None:
        """The call goes on elsewhere: there its span is current again."""
        super().suspend()
        if self._call is not None:
            self._release()
            self._call.leave()

    def ignore(self) -> None:
        """The call says nothing about the connection."""
        if self._call is not None:
            self._call.outcome("ignored")
        super().ignore()

    def failure(
        self, reason: str | None = None, *, retry_after: float | timedelta | None = None
    ) -> None:
        """The call failed; see `Permit.failure`."""
        super().failure(reason, retry_after=retry_after)
        if self._call is not None and self._token is None:
            self._end(None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        mine, self._call = self._call, None
        if mine is None:
            return
        self._release()
        mine.settle("success" if error is None else "ignored")
        mine.__exit__(None if error is None else type(error), error, None)

    def _release(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            try:
                under_way.reset(token)
            except ValueError:
                pass  # left in another context than it was entered in, which is over by itself


class SpannedBystander(SpannedPermit, Bystander):
    """A permit with a span that is never a probe."""

    __slots__ = ()
    _may_probe = False


def permit_for(breaker: Breaker, *, probe: bool = True) -> Permit:
    """A fresh permit, with a span if calls have spans."""
    if watching.calls:
        return SpannedPermit(breaker) if probe else SpannedBystander(breaker)
    return Permit(breaker) if probe else Bystander(breaker)
