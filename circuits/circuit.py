"""The circuit as its users hold it: guards, reports, control."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from inspect import isawaitable
from types import CoroutineType
from typing import (
    Any,
    Literal,
    NoReturn,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from attrs import evolve

from brama.telemetry import watching

from .answer import NOTHING, Refused, terms
from .breaker import Breaker
from .commands import Commanded
from .connection_kind import ConnectionKind
from .decorator import decorate
from .detection import Detecting
from .evidence import Why
from .fault import check_fault
from .lasting import run
from .options import check_probe
from .permit import Bystander, Permit
from .policy import Policy
from .reason import Reason, check_reason
from .spanned import permit_for, try_acquire
from .state import State
from .status import Status
from .stream import GuardedStream, is_stream
from .tracing import cause_of, tell_refusal

__all__ = ["Circuit"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Kinds: TypeAlias = type[Exception] | Iterable[type[Exception]]
Stream: TypeAlias = (
    AbstractContextManager[T, Any]
    | AbstractAsyncContextManager[T, Any]
    | Iterable[T]
    | AsyncIterable[T]
    | Awaitable[T]
)


class Decorator(Protocol):
    """What ``circuit(...)`` returns without a function."""

    def __call__(self, function: Callable[P, R], /) -> Callable[P, R]: ...


class ReturningDecorator(Protocol):
    """What ``circuit(on_open="return")`` returns."""

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> Callable[P, Coroutine[Any, Any, R | Refused]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Callable[P, R | Refused]: ...


class Circuit(Commanded, Detecting):
    """One guarded connection.

    `brama.circuit` makes it or returns the one that is there. It guards calls in any of these
    ways, with the same rules; a refused call raises `CircuitOpenError` and is not made.

    Example:
        >>> payments = brama.circuit("payment_api", scope="payments", failure_threshold=3)
        >>> @payments
        ... def charge(card): ...
        >>> with payments.guard() as permit: ...
        >>> payments.call(charge_now, card)

    It is no context manager itself: ``with circuit:`` could not know which entry it leaves.

    Threads: everything here, from any thread, asyncio task or trio task.
    """

    __slots__ = ("_breaker",)

    def __init__(self, breaker: Breaker) -> None:
        if not isinstance(breaker, Breaker):
            raise TypeError(
                f"a Circuit is made by brama.circuit(name, ...) or system.circuit(name, ...), and "
                f"not by its class, got: {breaker!r}"
            )
        self._breaker = breaker

    # Calls

    @overload
    def __call__(self, function: Callable[P, R]) -> Callable[P, R]: ...
    @overload
    def __call__(
        self,
        function: Callable[P, Coroutine[Any, Any, R]],
        *,
        on_open: Literal["return"],
        probe: bool = ...,
    ) -> Callable[P, Coroutine[Any, Any, R | Refused]]: ...
    @overload
    def __call__(
        self, function: Callable[P, R], *, on_open: Literal["return"], probe: bool = ...
    ) -> Callable[P, R | Refused]: ...
    @overload
    def __call__(
        self,
        function: Callable[P, R],
        *,
        fallback: Any = ...,
        fallback_on: Kinds = ...,
        on_open: Literal["raise"] = ...,
        probe: bool = ...,
    ) -> Callable[P, R]: ...
    @overload
    def __call__(
        self, function: None = None, *, on_open: Literal["return"], probe: bool = ...
    ) -> ReturningDecorator: ...
    @overload
    def __call__(
        self,
        function: None = None,
        *,
        fallback: Any = ...,
        fallback_on: Kinds = ...,
        on_open: Literal["raise"] = ...,
        probe: bool = ...,
    ) -> Decorator: ...

    def __call__(
        self,
        function: Any = None,
        *,
        fallback: Any = NOTHING,
        fallback_on: Kinds = (),
        on_open: str = "raise",
        probe: bool = True,
    ) -> Any:
        """Guard every call of `function`; its signature and name stay.

        A generator is guarded for as long as it runs: its end is the success, an early
        ``close()`` is neutral. So is what a plain function returns and what is not over then: a
        coroutine, a generator, a future. The result is a plain function, so methods are decorated
        where they are defined. It outlives `brama.unregister`: the circuit registers again on the
        next call.

        Example:
            >>> @payments
            ... def charge(card): ...
            >>> @payments(fallback=[], fallback_on=TimeoutError)
            ... def orders(): ...

        Args:
            function: a function of any kind (def, async def, generator, async generator), a
                partial or another callable object. Without it: the decorator for one.
            fallback: what a refused call returns instead of raising: a value, or a function that
                makes one, called with the error if it takes an argument. An async function may
                have an async one; that of a generator gives items.
            fallback_on: exceptions of the call itself that the fallback stands in for, too. They
                are counted all the same. A generator that has given an item raises them.
            on_open: ``"raise"``, or ``"return"``: a refused call returns ``("error", status)``.
            probe: whether the calls may be a half-open circuit's probes; see `guard`.

        Raises:
            TypeError: `function` is a class, a coroutine object or nothing callable.
            ConfigError: an option is wrong or does not suit this kind of function.
        """
        answer = terms(
            self._breaker,
            fallback=fallback,
            fallback_on=fallback_on,
            on_open=on_open,
            probe=probe,
        )
        if function is None:
            return partial(decorate, self._breaker, answer=answer)
        return decorate(self._breaker, function, answer)

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `function` now, guarded, and return what it returns.

        A generator that it returns is guarded until its end, as is a future.

        Raises:
            CircuitOpenError: the call was refused.
            TypeError: `function` cannot be called, or returned a coroutine or the like, which
                `acall` is for.
        """
        if not callable(function):
            raise _not_a_function("call", "circuit.call(function, argument)", function)
        return cast("R", run(permit_for(self._breaker), function, args, kwargs, awaitable=False))

    async def acall(
        self, function: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call and await `function`, guarded, and return its result.

        Raises:
            CircuitOpenError: the call was refused; no coroutine was made.
            TypeError: `function` is a coroutine object, or does not return an awaitable.
        """
        if not callable(function):
            raise _not_a_function("acall", "await circuit.acall(function, argument)", function)
        async with permit_for(self._breaker) as permit:
            awaitable = function(*args, **kwargs)
            if type(awaitable) is not CoroutineType and not isawaitable(awaitable):
                permit.ignore()
                raise TypeError(
                    f"acall() awaits what the function returns, got {awaitable!r} from "
                    f"{function!r}; for a plain function write: circuit.call(function, ...)"
                )
            return permit.judge(await awaitable)

    def guard(self, *, probe: bool = True) -> Permit:
        """A guard for one ``with`` or ``async with`` block.

        Example:
            >>> with payments.guard() as permit:
            ...     if send().status == 503:
            ...         permit.failure(reason="HTTP 503")

        Every entry wants a guard of its own. Entering raises `CircuitOpenError` when refused.

        Args:
            probe: whether this call may be a half-open circuit's probe. One that may not, a
                payment say, is refused until other calls have closed the circuit.
        """
        if probe and not watching.calls:  # as it mostly is: a step less, and no look at its type
            return Permit(self._breaker)
        return permit_for(self._breaker, probe=check_probe(probe))

    def try_acquire(self, *, probe: bool = True) -> Permit | None:
        """A permit to make one call, or None when it is refused.

        The cheapest way to ask. The permit must be settled with ``success()``, ``failure()`` or
        ``ignore()``, or by using it as a context manager.

        Args:
            probe: whether this call may be a half-open circuit's probe; see `guard`.
        """
        breaker = self._breaker
        if breaker.admission is None and not watching.calls:
            wait = breaker.reopen_at - breaker.shared.clock()
            if wait > 0.0:
                next(breaker.refused)
                if breaker.shared.watched_refusals:
                    breaker.rejected()
                if watching.refusals:
                    tell_refusal(breaker, breaker.state, wait, breaker.reason)
                return None
        if watching.calls:
            return try_acquire(breaker, probe=check_probe(probe))
        permit = Permit(breaker) if probe is True or check_probe(probe) else Bystander(breaker)
        if permit.acquire():
            return permit
        if watching.refusals:
            breaker.refusal()  # which tells of it
        return None

    def guard_stream(
        self, source: Stream[T] | Callable[[], Stream[T]], *, probe: bool = True
    ) -> GuardedStream[T]:
        """Guard what is read piece by piece and may die halfway.

        Example:
            >>> with search.guard_stream(client.stream("GET", url)) as response:
            ...     for line in response.iter_lines(): ...
            >>> for row in search.guard_stream(cursor): ...
            >>> async for message in search.guard_stream(subscribe): ...

        Args:
            source: a (sync or async) iterable, context manager or awaitable, or a function without
                arguments that makes one when the call is admitted. The stream is used as it is.
            probe: whether the call may be a half-open circuit's probe; see `guard`.

        Returns:
            A `GuardedStream`. Nothing is asked of the circuit before it is used.

        Raises:
            TypeError: `source` is none of these.
        """
        if not is_stream(source) and not callable(source):
            raise TypeError(
                "guard_stream() takes an iterable, a context manager, an awaitable or a function "
                f"that makes one, got: {source!r}"
            )
        return GuardedStream(self.guard(probe=probe), source)

    # Reading

    @property
    def name(self) -> str:
        """The name of the connection."""
        return self._breaker.name

    @property
    def scope(self) -> str | None:
        """The scope that the name belongs to, or None."""
        return self._breaker.scope

    @property
    def kind(self) -> ConnectionKind:
        """What kind of connection it is, as it was registered."""
        return self._breaker.kind

    @property
    def key(self) -> tuple[str | None, str]:
        """Scope and name: what makes a connection unique in its system."""
        return self._breaker.scope, self._breaker.name

    @property
    def policy(self) -> Policy:
        """The rules that it goes by now: as registered, or as configured since."""
        return self._breaker.policy

    @property
    def state(self) -> State:
        """The state as the clock says it; reading changes nothing."""
        breaker = self._breaker
        return breaker.state_at(breaker.shared.clock())

    def available(self) -> bool:
        """Whether a call would be admitted now; reading changes nothing."""
        return self._breaker.would_admit()

    def status(self) -> Status:
        """A frozen snapshot of state, counts and times."""
        return self._breaker.status()

    # Reports from elsewhere

    def success(self) -> None:
        """Report a success that was seen elsewhere.

        It counts in the present state: it ends a row of failures, and closes a half-open circuit.
        """
        self._breaker.report_success()

    def failure(
        self,
        reason: Reason = None,
        *,
        error_type: str | None = None,
        error_code: str | int | None = None,
    ) -> None:
        """Report a failure that was seen elsewhere, as `success`.

        While the circuit is open it is counted and moves nothing.

        Args:
            reason: appears in events and in later refusals: a text, or the exception at hand,
                which is described as ``Type: text``.
            error_type, error_code: what it is called in the data of events, such as
                ``error_code="ECONNREFUSED"``.
        """
        named = check_fault(error_type, error_code)
        error = reason if isinstance(reason, BaseException) else None
        self._breaker.report_failure(check_reason(reason), error=error, named=named)

    # Evidence, storing

    def why(self) -> Why:
        """The evidence behind the present state; ``print(circuit.why())`` tells a person."""
        why = self._breaker.why()
        trace = cause_of(self._breaker)
        return why if trace is None else evolve(why, trace=trace)

    def dump(self) -> dict[str, Any]:
        """The state as plain values for JSON, with the open time that remains.

        Not the counts of calls, not the policy, and not what windows have seen.
        """
        return self._breaker.dump()

    def load(self, stored: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave. An open circuit stays open for what then remained, less the
        time that has passed since by the wall clock.

        Raises:
            ConfigError: `stored` is not what `dump` gives.
        """
        self._noted("load")
        self._breaker.load(stored)

    def __copy__(self) -> Self:
        """Itself: what holds a circuit may be copied, and guards the same connection."""
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} belongs to its process and does not pickle; pickle its key, and write "
            "brama.circuit(name, scope=scope) where it is read"
        )

    def __repr__(self) -> str:
        scope = "" if self.scope is None else f", scope={self.scope!r}"
        return f"<Circuit {self.name!r}{scope}, {self.state}>"


def _not_a_function(method: str, usage: str, function: object) -> TypeError:
    if type(function) is CoroutineType:
        function.close()
    return TypeError(
        f"{method}() takes the function and its arguments apart: {usage}, got: {function!r}"
    )
