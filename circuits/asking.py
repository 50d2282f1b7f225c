"""Asking something outside of us, with a limit of time: health checks, pings, polls.

The question is a function of the user, plain or async. A plain one runs on a worker thread, an
async one on the asyncio loop it belongs to or else on Brama's own; whatever it does or fails to
do, the answer is a value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction
from types import CoroutineType
from typing import Any

import attrs
import trio

from .reason import describe

__all__ = ["THREADS", "Answer", "Question"]

THREADS = 16
"""Plain questions that run at the same time, hanging ones included; others wait for their turn."""


@attrs.frozen
class Answer:
    """What came of a question.

    Attributes:
        value: what the function returned; None if it did not.
        fault: why there is no value, or None if there is one.
    """

    value: object = None
    fault: str | None = None


def _is_async(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    return iscoroutinefunction(function) or iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - the function itself is asked about
    )


class Question:
    """One function and where it runs; asked again and again, by one asker at a time.

    Args:
        function: plain or async, without arguments.
        timeout: seconds after which there is no answer.
        loop: where an async function runs; None is Brama's own trio loop.
    """

    __slots__ = ("function", "hangs", "loop", "timeout")

    def __init__(
        self,
        function: Callable[[], object],
        timeout: float,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.function = function
        self.timeout = timeout
        self.loop = loop
        # A thread cannot be cancelled: while it hangs no second one is sent after it.
        self.hangs = False

    async def ask(self, threads: trio.CapacityLimiter) -> Answer:
        """Ask once. Never raises, but for the cancellation of the asker himself."""
        try:
            with trio.move_on_after(self.timeout) as limit:
                value = await self._call(threads)
                return Answer(value)
        except (trio.Cancelled, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a check that crashes is a failed check
            return Answer(fault=describe(error))
        assert limit.cancelled_caught
        return Answer(fault=f"no answer within {self.timeout:g} s")

    async def _call(self, threads: trio.CapacityLimiter) -> object:
        if not _is_async(self.function):
            return await self._on_thread(threads)
        if self.loop is None:
            return await self._on_own_loop()
        return await _on_asyncio(self.function, self.loop)

    async def _on_own_loop(self) -> object:
        answer: Any = self.function()
        return await answer

    async def _on_thread(self, threads: trio.CapacityLimiter) -> object:
        if self.hangs:
            raise TimeoutError("the call before this one still hangs")
        return await trio.to_thread.run_sync(
            self._work,
            abandon_on_cancel=True,
            limiter=_Marking(threads, self),  # type: ignore[arg-type]  # trio takes any that has both methods
        )

    def _work(self) -> object:
        try:
            value = self.function()
        finally:
            self.hangs = False
        if isinstance(value, CoroutineType):
            value.close()
            raise TypeError(f"{self.function!r} returned a coroutine: define it with async def")
        return value


class _Marking:
    """A limiter that marks the question between its turn and the start of its thread.

    There nothing can cancel any more, so the mark is there exactly while the thread is.
    """

    def __init__(self, threads: trio.CapacityLimiter, question: Question) -> None:
        self._threads = threads
        self._question = question

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        await self._threads.acquire_on_behalf_of(borrower)
        self._question.hangs = True

    def release_on_behalf_of(self, borrower: object) -> None:
        self._threads.release_on_behalf_of(borrower)


async def _on_asyncio(function: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> object:
    """Await `function` as a task of that loop; cancelled with the asker."""
    token = trio.lowlevel.current_trio_token()
    done = trio.Event()

    def tell(_future: object) -> None:
        try:
            token.run_sync_soon(done.set)
        except trio.RunFinishedError:
            pass  # nobody waits any more

    async def call() -> object:
        return await function()

    coroutine = call()
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise ConnectionError("the asyncio loop that it belongs to is closed") from None
    future.add_done_callback(tell)
    try:
        await done.wait()
    except trio.Cancelled:
        future.cancel()
        raise
    return future.result()
