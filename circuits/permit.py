"""One admitted call: how it is entered and how it is settled, exactly once."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Iterable
from contextvars import ContextVar
from datetime import timedelta
from types import FrameType
from typing import Any, ClassVar, Self, TypeVar

from .breaker import Breaker
from .fault import check_fault
from .generation import Generation, Meter
from .options import seconds
from .reason import Reason, check_reason
from .settle import settle_error, settle_result
from .waiting import in_task, wait_async, wait_here

__all__ = ["Bystander", "Permit"]

T = TypeVar("T")

FRESH, ACQUIRED, ENTERED, SETTLED = range(4)

ENTERING = (__name__, f"{__package__}.spanned")
"""The modules through which others enter a permit."""

RIDING = Generation(0)
"""The generation of a nested entry: the probe that it rides on answers for it."""

_probe: ContextVar[Permit | None] = ContextVar("brama_probe", default=None)
"""The innermost probe entered in this context: nested entries of its circuit ride on it."""


class Permit:
    """The right to make one call through a circuit, and the duty to say how it went.

    As a context manager it says so by itself: leaving normally is a success, an exception is
    what the policy says it is, cancellation and ``KeyboardInterrupt`` are neutral. Inside the
    block ``success()``, ``failure()`` and ``ignore()`` say otherwise; the first word counts, and
    further ones do nothing. A permit that is collected unsettled counts as ignored.

    Example:
        >>> with brama.circuit("search").guard() as permit:
        ...     response = fetch()
        ...     if response.status >= 500:
        ...         permit.failure(reason=f"HTTP {response.status}")

    Threads: a permit may be settled in another thread than the one that got it. Neither
    entering nor leaving is a checkpoint, also with ``async with``.
    """

    __slots__ = ("_breaker", "_frame", "_generation", "_number", "_outer", "_pending", "_stage")

    _may_probe: ClassVar[bool] = True  # of the class: a permit of a closed circuit never asks
    _breaker: Breaker
    _generation: Generation
    _number: int
    _stage: int
    _pending: bool  # Invariant: whoever deletes it settles; deleting is one step.
    # Set only on a probe that entered the context:
    _outer: Permit | None
    _frame: FrameType | None  # of the one that entered it, until the probe is settled

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._stage = FRESH

    # Entering. A guard is entered by ``with``; `acquire` serves `Circuit.try_acquire`.

    def __enter__(self) -> Self:
        generation = self._breaker.admission
        if generation is None or self._stage:
            return self._enter_slowly()
        self._stage = ENTERED
        self._generation = generation
        self._number = -1
        self._pending = True  # first: an interrupt right behind the count finds it in __del__
        self._number = next(generation.started)
        return self

    def _enter_slowly(self) -> Self:
        breaker = self._breaker
        if self._stage > ACQUIRED:
            raise RuntimeError("a guard is entered once; call circuit.guard() again for each entry")
        if self._stage == FRESH and not (
            self.acquire(refuse=not breaker.policy.half_open_wait) or self._wait()
        ):
            raise breaker.refusal()
        return self._entered()

    def _wait(self) -> bool:
        """Wait for the verdict of the probes if the policy wants it and this thread may."""
        breaker = self._breaker
        if not breaker.policy.half_open_wait:
            return False
        if not in_task() and wait_here(breaker, self._ask):
            return True
        return self.acquire()

    def _ask(self) -> bool:
        return self.acquire(refuse=False)

    def _entered(self) -> Self:
        generation = self._generation
        if (
            generation is not RIDING
            and type(generation) is not Meter
            and self._breaker.admission is not generation
        ):
            self._outer = _pending_from(_probe.get())
            self._frame = _entering_frame()
            _probe.set(self)
        self._stage = ENTERED
        return self

    def acquire(self, *, refuse: bool = True) -> bool:
        """Ask the breaker; whether the call may be made. `refuse`: whether a refusal counts."""
        if self._stage:
            raise RuntimeError("a permit is acquired once; call circuit.guard() for another one")
        breaker = self._breaker
        generation = breaker.admission
        if generation is not None:
            self._stage = ACQUIRED
            self._generation = generation
            self._number = -1
            self._pending = True
            self._number = next(generation.started)
            return True
        meter = breaker.meter
        if meter is not None:
            self._stage = ACQUIRED
            self._generation = meter
            self._number = -1
            self._pending = True
            number = breaker.begin(meter)
            if number is not None:
                self._number = number
                return True
            del self._pending
            self._stage = FRESH
        outer = _probe.get()
        while outer is not None:
            if (
                outer._breaker is breaker
                and outer.pending
                and outer._encloses()
                and breaker.probing(outer._generation, outer._number)
            ):
                self._generation, self._number = RIDING, 0
                break
            outer = outer._outer
        else:
            entry = breaker.enter(self._may_probe, refuse=refuse)
            if entry is None:
                return False
            self._generation, self._number = entry
        self._stage = ACQUIRED
        self._pending = True
        return True

    @classmethod
    def of(cls, breaker: Breaker, generation: Generation, number: int) -> Self:
        """The permit of a call that was admitted and has begun without one."""
        permit = cls(breaker)
        permit._generation, permit._number = generation, number
        permit._stage = ACQUIRED
        permit._pending = True
        return permit

    def enclose(self, frame: FrameType) -> None:
        """Guard the block of this frame, if this is a probe: the one that entered it returns."""
        if getattr(self, "_frame", None) is not None:
            self._frame = frame

    def suspend(self) -> None:
        """Leave the block without a word: the call goes on elsewhere, and is entered there."""
        self._leave_context()
        self._stage = ACQUIRED

    def _encloses(self) -> bool:
        """Whether the caller runs inside the block that this probe guards.

        The context alone does not say so: the body of a generator shares it with its consumer,
        and a task inherits it from whoever started it.
        """
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame is self._frame:
                return True
            frame = frame.f_back
        return False

    # Settling

    @property
    def pending(self) -> bool:
        """Whether nobody has said how the call went."""
        return hasattr(self, "_pending")

    def success(self) -> None:
        """The call went well."""
        self._check_entered()
        self._leave(None, None, None)

    def failure(
        self,
        reason: Reason = None,
        *,
        retry_after: float | timedelta | None = None,
        error_type: str | None = None,
        error_code: str | int | None = None,
    ) -> None:
        """The call failed.

        Args:
            reason: appears in events and in later refusals: a text, or the exception at hand,
                which is described as ``Type: text`` and shown to the policy's functions, too.
            retry_after: seconds for which the other side asked to be left alone. If this failure
                opens the circuit, it stays open that long, at most the policy's `max_expiry`.
            error_type, error_code: what it is called in the data of events, such as
                ``error_code=503``.
        """
        text = check_reason(reason)
        error = reason if isinstance(reason, BaseException) else None
        named = check_fault(error_type, error_code)
        wait = None if retry_after is None else seconds("retry_after", retry_after)
        self._check_entered()
        if self._take() and self._generation is not RIDING:
            self._breaker.failed(
                self._generation, self._number, text, error, retry_after=wait, named=named
            )

    def ignore(self) -> None:
        """The call says nothing about the connection: neither success nor failure."""
        self._check_entered()
        if self._take() and self._generation is not RIDING:
            self._breaker.ignored(self._generation, self._number, collected=False)

    def judge(self, result: T) -> T:
        """The call returned `result`: settle it as the policy classifies that, and hand it on.

        Example:
            >>> with payments.guard() as permit:
            ...     response = permit.judge(send())
        """
        self._check_entered()
        policy = self._breaker.policy
        if policy.classify is None and policy.record_result is None:
            self._leave(None, None, None)
        elif self._take() and self._generation is not RIDING:
            settle_result(self._breaker, self._generation, self._number, result)
        return result

    conclude = judge  # where no block is left behind it

    def steps(self, source: Iterable[Any]) -> Iterable[Any]:
        """`source`, as a guarded generator is to go through it."""
        return source

    def asteps(self, source: AsyncIterable[Any]) -> AsyncIterable[Any]:
        """The same of an async one."""
        return source

    def _check_entered(self) -> None:
        if self._stage == FRESH:
            raise RuntimeError("a guard is settled inside its with block; it was not entered")

    def _take(self) -> bool:
        """Whether this caller is the one who settles."""
        try:
            del self._pending
        except AttributeError:
            return False
        self._stage = SETTLED
        self._leave_context()
        return True

    def _leave_context(self) -> None:
        if self._generation is not RIDING and hasattr(self, "_frame"):
            self._frame = None
            if _probe.get() is self:
                _probe.set(self._outer)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            del self._pending
        except AttributeError:
            return
        self._stage = SETTLED  # what __del__ looks at, because it is cheaper
        generation = self._generation
        breaker = self._breaker
        if error is None and generation is breaker.admission and not breaker.shared.watched:
            next(generation.succeeded)
        else:
            self._settle(error)

    _leave = __exit__  # to settle inside of a block, whatever a subclass does at its end

    def _settle(self, error: BaseException | None) -> None:
        self._leave_context()
        if self._generation is RIDING:
            return
        if error is None:
            generation = self._generation
            if type(generation) is Meter:
                self._breaker.finish(generation, self._number)
            else:
                self._breaker.succeeded(generation, self._number)
        else:
            settle_error(self._breaker, self._generation, self._number, error)

    async def __aenter__(self) -> Self:
        breaker = self._breaker
        if not breaker.policy.half_open_wait or self._stage or breaker.admission is not None:
            return self.__enter__()
        if not (
            self.acquire(refuse=False) or await wait_async(breaker, self._ask) or self.acquire()
        ):
            raise breaker.refusal()
        return self._entered()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.__exit__(kind, error, traceback)

    def __del__(self) -> None:
        # The collector may run this inside a locked section of the same thread: it must not wait.
        try:
            settled = self._stage == SETTLED
        except AttributeError:  # an interrupt came before its first line
            return
        if not settled and self.pending and self._generation is not RIDING:
            self._breaker.ignored(self._generation, self._number)

    def __repr__(self) -> str:
        state = "pending" if self.pending else "settled" if self._stage else "not entered"
        return f"<Permit of {self._breaker.name!r}, {state}>"


class Bystander(Permit):
    """A permit that is never a probe: in half-open it is refused, or rides on an outer probe."""

    __slots__ = ()
    _may_probe = False


def _entering_frame() -> FrameType | None:
    """The frame whose ``with`` enters a permit: the first outside of the permits' own modules."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in ENTERING:
        frame = frame.f_back
    return frame


def _pending_from(permit: Permit | None) -> Permit | None:
    """The innermost probe, from `permit` outwards, whose outcome is not known yet."""
    while permit is not None and not permit.pending:
        permit = permit._outer
    return permit
