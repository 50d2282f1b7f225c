"""Permits whose call has a span: what guards are while every call has one (`spans="calls"`).

The span begins before the circuit is asked, so that what is waited for is part of it, and ends when
the call is settled and its block, if there is one, is left. It is current inside the block, so that
what a client library records becomes its child, and while the circuit lets the call in and hears of
its end; nowhere else. Between two items of a generator, or while a future is waited for, whoever
runs finds nothing of it.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextvars import Token
from datetime import timedelta
from typing import Any, Self, TypeVar

from brama.telemetry import Call, Context, call, watching

from .breaker import Breaker
from .permit import RIDING, Bystander, Permit
from .reason import Reason
from .tracing import UnderWay

__all__ = ["SpannedBystander", "SpannedPermit", "permit_for", "try_acquire"]

S = TypeVar("S")
T = TypeVar("T")


class SpannedPermit(Permit):
    """A permit whose call has a span, if it is one of the share that is to have one."""

    __slots__ = ("_call", "_inside", "_token")

    _call: Call | None
    _inside: bool  # the block, with which the span ends
    _token: Token[Context] | None  # of the span that is current there

    def __init__(self, breaker: Breaker) -> None:
        super().__init__(breaker)
        self._call = self._token = None
        self._inside = False

    # Entering

    def _begin(self) -> Call | None:
        """The call; it begins when the circuit is asked, and where."""
        if self._call is None and not self._stage:
            breaker = self._breaker
            self._call = call(
                connection=breaker.name,
                scope=breaker.scope,
                state=str(breaker.state),
                began=breaker.shared.clock(),
            )
        return self._call

    def __enter__(self) -> Self:
        asks = not self._stage
        mine = self._begin()
        if mine is None:
            return super().__enter__()
        try:
            with UnderWay(self._breaker, mine):
                super().__enter__()
        except BaseException as error:
            self._not_entered(error)
            raise
        self._enter_block(mine, asked=asks)
        return self

    async def __aenter__(self) -> Self:
        asks = not self._stage
        mine = self._begin()
        if mine is None:
            return await super().__aenter__()
        try:
            with UnderWay(self._breaker, mine):
                await super().__aenter__()
        except BaseException as error:
            self._not_entered(error)
            raise
        self._enter_block(mine, asked=asks)
        return self

    def _not_entered(self, error: BaseException) -> None:
        if not self._inside:  # else it was entered twice, and the first block goes on
            self._end(error)

    def _enter_block(self, mine: Call, *, asked: bool) -> None:
        if asked:
            self._note_admission(mine)
        self._inside = True
        self._token = mine.attach()

    def ask(self) -> bool:
        """Whether the call may be made: for `Circuit.try_acquire`, which enters no block."""
        mine = self._begin()
        if mine is None:
            if self.acquire():
                return True
            self._breaker.refusal()  # which tells of it
            return False
        error: BaseException | None = None
        with UnderWay(self._breaker, mine):
            admitted = self.acquire()
            if not admitted:
                error = self._breaker.refusal()
        if admitted:
            self._note_admission(mine)
        else:
            self._end(error)
        return admitted

    def _note_admission(self, mine: Call) -> None:
        if not mine.visible:
            return
        generation, number = self._generation, self._number
        if generation is RIDING:
            generation, number = self._breaker.current, -1  # the outer one is the probe
        state, probe = self._breaker.standing(generation, number)
        mine.admitted(state.value, generation.number, probe=probe)

    # Where the call goes on elsewhere

    def suspend(self) -> None:
        """The call goes on elsewhere: there its span is current again."""
        super().suspend()
        self._leave_block()

    def steps(self, source: Iterable[Any]) -> Iterable[Any]:
        """`source`, in whose steps the span is current, and no longer so between them."""
        return self._stepped(source, _steps)

    def asteps(self, source: AsyncIterable[Any]) -> AsyncIterable[Any]:
        """The same of an async one."""
        return self._stepped(source, _asteps)

    def _stepped(self, source: S, steps: Callable[[Call, S], S]) -> S:
        mine = self._call
        if mine is None:
            return source
        made = steps(mine, source)
        self._leave_block()
        return made

    # Settling

    def success(self) -> None:
        """The call went well."""
        self._settled(super().success)

    def failure(
        self,
        reason: Reason = None,
        *,
        retry_after: float | timedelta | None = None,
        error_type: str | None = None,
        error_code: str | int | None = None,
    ) -> None:
        """The call failed; see `Permit.failure`."""
        self._settled(
            lambda: super(SpannedPermit, self).failure(
                reason, retry_after=retry_after, error_type=error_type, error_code=error_code
            )
        )

    def ignore(self) -> None:
        """The call says nothing about the connection."""
        self._settled(super().ignore)

    def judge(self, result: T) -> T:
        """The call returned `result`; see `Permit.judge`."""
        self._settled(lambda: super(SpannedPermit, self).judge(result))
        return result

    def conclude(self, result: T) -> T:
        """The same where no block is left behind it."""
        try:
            return self.judge(result)
        finally:
            self._end(None)

    def _settled(self, settle: Callable[[], object]) -> None:
        mine = self._call
        if mine is None:
            settle()
            return
        with UnderWay(self._breaker, mine):
            settle()
        if not self._inside:
            self._end(None)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        mine = self._call
        if mine is None:
            super().__exit__(kind, error, traceback)
            return
        try:
            with UnderWay(self._breaker, mine):
                super().__exit__(kind, error, traceback)
        finally:
            self._end(error)

    def _leave_block(self) -> None:
        token, self._token = self._token, None
        self._inside = False
        if token is not None and self._call is not None:
            self._call.detach(token)

    def _end(self, error: BaseException | None) -> None:
        self._leave_block()
        mine, self._call = self._call, None
        if mine is not None:
            if error is not None:
                mine.settle("ignored")  # the circuit has said nothing of it
            mine.end(error)

    def __del__(self) -> None:
        super().__del__()
        mine = getattr(self, "_call", None)
        if mine is not None:
            mine.settle("ignored")
            mine.abandon()


class SpannedBystander(SpannedPermit, Bystander):
    """A permit with a span that is never a probe."""

    __slots__ = ()
    _may_probe = False


class _Stepped:
    """What is gone through step by step; in each step a call's span is current."""

    __slots__ = ("_call", "_source")

    def __init__(self, mine: Call, source: Any) -> None:
        self._call, self._source = mine, source

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        token = self._call.attach()
        try:
            return step(*arguments)
        finally:
            self._call.detach(token)

    async def _astep(self, step: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        token = self._call.attach()
        try:
            return await step(*arguments)
        finally:
            self._call.detach(token)


class _Steps(_Stepped, Generator[Any, Any, Any]):
    """The steps of a generator."""

    __slots__ = ()

    def send(self, value: Any) -> Any:
        return self._step(self._source.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._source.throw, *error)

    def close(self) -> None:
        self._step(self._source.close)


class _Items(_Stepped, Iterator[Any]):
    """Those of an iterator that is no generator."""

    __slots__ = ()

    def __next__(self) -> Any:
        return self._step(next, self._source)


class _AsyncSteps(_Stepped, AsyncGenerator[Any, Any]):
    """Those of an async generator."""

    __slots__ = ()

    async def asend(self, value: Any) -> Any:
        return await self._astep(self._source.asend, value)

    async def athrow(self, *error: Any) -> Any:
        return await self._astep(self._source.athrow, *error)

    async def aclose(self) -> None:
        await self._astep(self._source.aclose)


class _AsyncItems(_Stepped, AsyncIterator[Any]):
    """Those of an async iterator that is no generator."""

    __slots__ = ()

    async def __anext__(self) -> Any:
        return await self._astep(anext, self._source)


def _steps(mine: Call, source: Iterable[Any]) -> Iterable[Any]:
    return _Steps(mine, source) if isinstance(source, Generator) else _Items(mine, iter(source))


def _asteps(mine: Call, source: AsyncIterable[Any]) -> AsyncIterable[Any]:
    if isinstance(source, AsyncGenerator):
        return _AsyncSteps(mine, source)
    return _AsyncItems(mine, aiter(source))


def permit_for(breaker: Breaker, *, probe: bool = True) -> Permit:
    """A fresh permit, with a span if calls have spans."""
    if watching.calls:
        return SpannedPermit(breaker) if probe else SpannedBystander(breaker)
    return Permit(breaker) if probe else Bystander(breaker)


def try_acquire(breaker: Breaker, *, probe: bool) -> Permit | None:
    """A permit with a span that the circuit has let in, or None, of which the span tells."""
    permit = SpannedPermit(breaker) if probe else SpannedBystander(breaker)
    return permit if permit.ask() else None
