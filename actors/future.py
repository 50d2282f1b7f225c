"""One future for threads, asyncio and trio."""

from __future__ import annotations

import functools
import queue
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, TypeVar, cast

import pykka
import trio

from .durations import patience
from .errors import CallTimeoutError, WouldBlockError

__all__ = ["Future", "after_fork", "forbid_blocking", "may_block", "permit_blocking"]

T = TypeVar("T")
J = TypeVar("J")
M = TypeVar("M")
R = TypeVar("R")

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_PENDING: Any = object()

# Idents of the threads that run an actor loop. Only the loop's own thread adds and removes itself.
_loop_threads: set[int] = set()


def forbid_blocking() -> None:
    """From now on, no future may block the calling thread."""
    _loop_threads.add(threading.get_ident())


def permit_blocking() -> None:
    """Take `forbid_blocking` back."""
    _loop_threads.discard(threading.get_ident())


def may_block() -> bool:
    """Whether the caller may be held up: no thread that runs actors may, and no event loop."""
    return threading.get_ident() not in _loop_threads and not _in_trio() and _asyncio_loop() is None


def after_fork() -> None:
    """In the child of a fork: the loops are gone, and their idents will be given to new threads."""
    _loop_threads.clear()


class Future(pykka.Future[T]):
    """A reply that will come: ``get()`` it from a thread, ``await`` it on asyncio or trio.

    Example:
        >>> future = Future()
        >>> future.set(42)
        >>> future.get(timeout=1.0)
        42

    It keeps pykka's contract (`pykka.Future`): the first of ``set``, ``set_exception`` and
    ``set_get_hook`` wins, a later one raises ``queue.Full``.

    Threads: every method may be called from any thread. ``get`` with no result yet, on a thread
    that runs an actor loop, raises `WouldBlockError` at once: that thread would have to produce the
    result.

    Failure: a waiter that is cancelled leaves the future alone; others may still wait.
    """

    def __init__(self) -> None:
        # Invariant: _value, _error and _callbacks change only under _lock.
        self._lock = threading.Lock()
        self._value: Any = _PENDING
        self._error: ExcInfo | None = None
        self._callbacks: list[Callable[[], None]] | None = None
        self._get_hook: Callable[[float | None], T] | None = None
        self._get_hook_result: Any = _PENDING
        # What a derived future waits for; None: unknown, a hook that may block.
        self._sources: tuple[pykka.Future[Any], ...] | None = None
        # True once whoever asked has stopped waiting for good: a reply after that is a late one.
        self.abandoned = False

    def __repr__(self) -> str:
        return f"<brama Future {'done' if self.done() else 'pending'}>"

    def done(self) -> bool:
        """Whether ``get`` would return without waiting."""
        if self._get_hook is not None:
            if self._get_hook_result is not _PENDING:
                return True
            sources = self._sources
            return sources is not None and all(
                isinstance(one, Future) and one.done() for one in sources
            )
        return self._value is not _PENDING

    # -- setting
    # -------------------------------------------------------------------------------------

    def set(self, value: T | None = None) -> None:
        """Give the result. Raises ``queue.Full`` when there is one already."""
        if not self._settle(value, None):
            raise queue.Full

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Give an error instead of a result: the one being handled, or an ``exc_info`` triple."""
        assert exc_info is None or len(exc_info) == 3
        if not self._settle(None, sys.exc_info() if exc_info is None else exc_info):
            raise queue.Full

    def fail(self, error: BaseException) -> bool:
        """Give an error; returns False when the future has its result already."""
        return self._settle(None, (type(error), error, error.__traceback__))

    def resolve(self, value: T) -> bool:
        """Give the result; returns False when the future has one already."""
        return self._settle(value, None)

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Compute the result by ``func(timeout)`` when it is asked for."""
        with self._lock:
            if self._value is not _PENDING:
                raise queue.Full
            self._get_hook = func

    def _settle(self, value: Any, error: ExcInfo | None) -> bool:
        with self._lock:
            if self._value is not _PENDING or self._get_hook is not None:
                return False
            self._error = error
            self._value = value
            callbacks, self._callbacks = self._callbacks, None
        for callback in callbacks or ():
            callback()
        return True

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` once the result is there: at once, or in the setter's thread.

        The callback must not raise. A derived future's is called once all is there that it is
        derived from, and cannot be taken back.
        """
        sources = self._sources
        if sources is not None and all(isinstance(one, Future) for one in sources):
            _Countdown(cast("tuple[Future[Any], ...]", sources), callback)
            return
        with self._lock:
            if self._value is _PENDING:
                if self._callbacks is None:
                    self._callbacks = []
                self._callbacks.append(callback)
                return
        callback()

    def remove_done_callback(self, callback: Callable[[], None]) -> None:
        """Forget ``callback``; nothing happens if it is unknown or has been called."""
        with self._lock:
            if self._callbacks is not None and callback in self._callbacks:
                self._callbacks.remove(callback)

    # -- getting
    # -------------------------------------------------------------------------------------

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the result and return it, or raise the error.

        Args:
            timeout: seconds; None waits as long as it takes.

        Raises:
            pykka.Timeout: nothing came in time.
            WouldBlockError: called on a thread that runs an actor loop, and there is no result yet.
        """
        if self._get_hook is not None:
            if self._get_hook_result is _PENDING:
                self._get_hook_result = self._get_hook(timeout)
            return cast("T", self._get_hook_result)
        if self._value is _PENDING and not self._block(timeout):
            raise pykka.Timeout(f"{timeout} seconds")
        return self._outcome()

    def claim(self, timeout: float | None, who: object, *, of: float | None = None) -> T:
        """`get`, but giving up for good at the timeout: a later reply is a late one.

        Args:
            timeout: seconds; None waits as long as it takes.
            who: of whom the reply is wanted.
            of: the whole time there was, if some of it is spent.

        Raises:
            CallTimeoutError: nothing came in time.
        """
        if self._value is _PENDING and not self._block(timeout):
            self._give_up(timeout if of is None else of, who)
        return self._outcome()

    async def aclaim(self, timeout: float | None, who: object) -> T:
        """`claim` for trio and asyncio. Cancellation gives up, too."""
        try:
            await self.wait(timeout)
        finally:
            if self._value is _PENDING:
                self._give_up(timeout, who)
        return self.get()

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait on trio or asyncio until the result is there; returns whether it is."""
        if not self.done():
            timeout = patience(timeout)
            if _in_trio():
                if timeout is None:  # a scope is a third of the cost of a request
                    await self._wait_trio()
                else:
                    with trio.move_on_after(timeout):
                        await self._wait_trio()
            elif (loop := _asyncio_loop()) is not None:
                await self._wait_asyncio(loop, timeout)
            else:
                raise WouldBlockError("there is no trio or asyncio loop here to await it on")
        return self.done()

    def _give_up(self, timeout: float | None, who: object) -> None:
        error = CallTimeoutError(f"{who} gave no answer within {timeout} s")
        # In this order: the reply that is refused by the second finds the first.
        self.abandoned = True
        if not self._settle(None, (CallTimeoutError, error, None)):
            self.abandoned = False

    def _block(self, timeout: float | None) -> bool:
        """Wait for the result; returns whether it is there."""
        timeout = patience(timeout)
        if timeout is not None and timeout <= 0:
            return False
        if threading.get_ident() in _loop_threads:
            raise WouldBlockError(
                "Future.get() would block the thread that runs the actors, and the reply could "
                "never come: 'await' it in an Actor, or tell() and handle the answer as a message"
            )
        # A bare lock is the cheapest thing to sleep on: acquired here, released by the setter.
        gate = threading.Lock()
        gate.acquire()
        release = gate.release
        self.add_done_callback(release)
        if timeout is None:
            return gate.acquire()
        # A lock refuses to wait longer than TIMEOUT_MAX.
        if not gate.acquire(timeout=min(timeout, threading.TIMEOUT_MAX)):
            self.remove_done_callback(release)
        return self._value is not _PENDING

    def _outcome(self) -> T:
        if self._error is not None:
            kind, error, traceback = self._error
            if error is None:
                assert kind is not None
                error = kind()
            # Each getter starts from the traceback as it was set, or repeated gets would pile up
            # frames.
            raise error.with_traceback(traceback)
        return cast("T", self._value)

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done():
            if _in_trio():
                yield from self._wait_trio().__await__()
            elif (loop := _asyncio_loop()) is not None:
                yield from self._wait_asyncio(loop).__await__()
            else:
                yield  # pykka's own protocol, for generator-based callers without a loop
        return self.get()

    __iter__ = __await__

    async def _wait_trio(self) -> None:
        if self._get_hook is not None:
            if self._sources is None:
                await trio.to_thread.run_sync(self._peek)
            for source in self._sources or ():
                await _quiet(source)
            return
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()
        waiting = True

        def wake() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                trio.lowlevel.reschedule(task)

        def done() -> None:
            # On the waiter's own loop, at once; from elsewhere through its token. The token refuses
            # only after its loop has ended, and then nobody waits any more.
            if trio.lowlevel.in_trio_task() and trio.lowlevel.current_trio_token() is token:
                wake()
                return
            try:
                token.run_sync_soon(wake)
            except trio.RunFinishedError:
                pass

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            nonlocal waiting
            waiting = False
            self.remove_done_callback(done)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.checkpoint_if_cancelled()
        with self._lock:
            if self._value is not _PENDING:
                return
            if self._callbacks is None:
                self._callbacks = []
            self._callbacks.append(done)
        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _wait_asyncio(self, loop: Any, timeout: float | None = None) -> None:
        if self._get_hook is not None:
            if self._sources is None:
                await loop.run_in_executor(None, self._peek)
            for source in self._sources or ():
                await _quiet(source)
            return
        waiter = loop.create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def done() -> None:
            try:
                loop.call_soon_threadsafe(wake)
            except RuntimeError:
                pass  # the loop is closed: nobody waits any more

        self.add_done_callback(done)
        timer = None if timeout is None else loop.call_later(timeout, wake)
        try:
            await waiter
        finally:
            self.remove_done_callback(done)
            if timer is not None:
                timer.cancel()

    def _peek(self) -> None:
        try:
            self.get()
        except Exception:  # noqa: BLE001  (kept by nobody: the awaiting side calls the hook again and sees it)
            pass

    # -- derived futures
    # ------------------------------------------------------------------------------

    def derive(self, hook: Callable[[float | None], R], *others: pykka.Future[Any]) -> Future[R]:
        """A future computed by ``hook(timeout)`` from this and ``others``; awaitable too."""
        future = cast("Future[R]", self.__class__())
        future.set_get_hook(hook)
        future._sources = (self, *others)
        return future

    def filter(self: Future[Iterable[J]], func: Callable[[J], bool]) -> Future[Iterable[J]]:
        return self.derive(lambda timeout: list(filter(func, self.get(timeout=timeout))))

    def join(self, *futures: pykka.Future[Any]) -> Future[Iterable[Any]]:
        def all_of(timeout: float | None) -> Iterable[Any]:
            deadline = None if timeout is None else time.monotonic() + timeout
            values: list[Any] = []
            for future in (self, *futures):
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                values.append(future.get(timeout=left))
            return values

        return self.derive(all_of, *futures)

    def map(self, func: Callable[[T], M]) -> Future[M]:
        return self.derive(lambda timeout: func(self.get(timeout=timeout)))

    def reduce(self: Future[Iterable[J]], func: Callable[[R, J], R], *args: R) -> Future[R]:
        return self.derive(lambda timeout: functools.reduce(func, self.get(timeout=timeout), *args))


class _Countdown:
    """Calls back once, when the last of several futures has its result."""

    def __init__(self, futures: tuple[Future[Any], ...], callback: Callable[[], None]) -> None:
        self._callback = callback
        self._left = len(futures)
        self._lock = threading.Lock()  # Invariant: guards _left
        for future in futures:
            future.add_done_callback(self._one)

    def _one(self) -> None:
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._callback()


async def _quiet(future: pykka.Future[Any]) -> None:
    try:
        await future
    except Exception:  # noqa: BLE001  (the derived future's own get raises it again, in its right place)
        pass


def _in_trio() -> bool:
    return trio.lowlevel.in_trio_task()


def _asyncio_loop() -> Any:
    # Looked up, not imported: a process that never loaded asyncio cannot be running it.
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()
