"""Assert that an actor ends, and for which reason."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pykka
import trio

from .. import ActorRef, Crash, ExitReason, Future, NoProc, Via, watch
from ..cell import cell_of
from ..exits import describe

__all__ = ["assert_down", "assert_down_blocking", "expect_down"]

Expected = ExitReason | type[ExitReason] | type[BaseException] | None


async def assert_down(
    ref: ActorRef[Any] | Via, reason: Expected = None, *, within: float = 1.0
) -> None:
    """Assert that the actor has ended, or ends within so many seconds of the loop's time.

    Example:
        >>> prices.tell("nonsense")
        >>> await assert_down(prices, ValueError)

    Args:
        reason: an exit reason or its class, the class of the error of a crash, or None for any.

    Raises:
        AssertionError: it lives on, or has ended for another reason.

    Source: ExUnit's ``assert_receive {:DOWN, ^ref, :process, _, reason}``.
    """
    target = _target(ref)
    down = _watched(target)
    with trio.move_on_after(within):
        await down
    _check(target, down, reason, within)


def assert_down_blocking(
    ref: ActorRef[Any] | Via, reason: Expected = None, *, within: float = 1.0
) -> None:
    """`assert_down` from a plain thread, in real time."""
    target = _target(ref)
    down = _watched(target)
    try:
        down.get(timeout=within)
    except pykka.Timeout:
        pass
    _check(target, down, reason, within)


@contextmanager
def expect_down(ref: ActorRef[Any] | Via, reason: Expected = None) -> Generator[None]:
    """Assert that the actor ends within the block, and not before it.

    Example:
        >>> with expect_down(prices, Shutdown):
        ...     await stop_supervised(system, "prices")
    """
    target = _target(ref)
    assert target.is_alive(), f"{target} had ended before"
    down = _watched(target)
    yield
    _check(target, down, reason, None)


def _target(ref: ActorRef[Any] | Via) -> ActorRef[Any]:
    # Now: after its end, a name leads to nobody or to a successor.
    return ref.resolve() if isinstance(ref, Via) else ref


def _watched(ref: ActorRef[Any]) -> Future[ExitReason]:
    down: Future[ExitReason] = Future()
    watch(ref, down.set)
    return down


def _check(
    ref: ActorRef[Any], down: Future[ExitReason], expected: Expected, within: float | None
) -> None:
    __tracebackhide__ = True
    if not down.done():
        raise AssertionError(
            f"{ref} is alive" + (f" after {within} s" if within is not None else " after the block")
        )
    got: Any = down.get()
    if isinstance(got, NoProc):  # it had ended before we looked, but left word why
        cell = cell_of(ref)
        got = cell.epitaph if cell is not None and cell.epitaph is not None else got
    if not _matches(got, expected):
        wanted = expected.__name__ if isinstance(expected, type) else expected
        raise AssertionError(f"{ref} ended for {_shown(got)}, expected was {wanted}")


def _shown(got: Any) -> str:
    return f"Crash({got.__name__})" if isinstance(got, type) else describe(got)


def _matches(got: Any, expected: Expected) -> bool:
    """``got`` is a reason, or of a crash in the past only the class of its error."""
    if expected is None:
        return True
    error = got if isinstance(got, type) else type(got.error) if isinstance(got, Crash) else None
    if isinstance(expected, type):
        if issubclass(expected, BaseException):
            return error is not None and issubclass(error, expected)
        return issubclass(Crash, expected) if error is not None else isinstance(got, expected)
    if isinstance(expected, Crash):
        return error is type(expected.error)
    return bool(got == expected)
