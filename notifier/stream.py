"""Events to iterate over, in plain threads, asyncio and trio alike."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Self

import trio

from brama.circuits import Event, seconds

from .bell import BELL
from .errors import SubscriptionClosed
from .subscription import Subscription

__all__ = ["EventStream", "StreamSubscription"]


class StreamSubscription(Subscription):
    """A subscription whose events are given out one by one, to whoever asks."""

    __slots__ = ()

    def receive(self) -> tuple[Event | None, bool]:
        """The next event, which counts as handled with that, and whether more wait.

        Threads: any number at a time; each event goes to one of them.
        """
        while True:
            with self._lock:
                event = self._pop() if self.state == "active" and self._backlog else None
                ours = event is not None and event is self._gap
                self._rung = event is not None
                recovered = self._overwhelmed and not self._backlog.missing_states
                self._overwhelmed = self._overwhelmed and not recovered
            if recovered:
                self._report_overwhelmed(False)
            if event is None:
                return None, False
            wanted = self._passes(event)
            with self._lock:
                if self.state != "active":
                    return None, False
                if wanted:
                    self.delivered += 1
                    self._n += 1
                if self.on_finished is not None and not ours:
                    self.on_finished(self._n, "delivered" if wanted else "filtered", int(wanted))
                more = self._rung = bool(self._backlog)
                if wanted:
                    return event.delivery(self._n), more


class EventStream:
    """The events of one subscription, in order; made by `brama.events`.

    Iterating waits for the next event and ends when the stream is closed. An event counts as
    delivered when it is handed out: at most once.

    Example:
        >>> with brama.events(events=["circuit_opened"]) as events:
        ...     for event in events:
        ...         print(event.connection)
        >>> async with brama.events() as events:      # asyncio or trio
        ...     async for event in events: ...

    Threads: any. Of several consumers each event goes to one.
    """

    def __init__(self, subscribe: Callable[[EventStream], StreamSubscription]) -> None:
        self._condition = threading.Condition()
        self._rung = False
        self._wakers: list[Callable[[], object]] = []
        self.subscription = subscribe(self)
        self.subscription.deliverer = self

    def tell(self, message: Any) -> None:
        """There is something in the queue, or it has ended."""
        with self._condition:
            self._rung = True
            self._condition.notify_all()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            try:
                wake()
            except RuntimeError:
                pass  # the loop that waited has ended

    def get(self, timeout: float | timedelta | None = None) -> Event:
        """The next event; blocks the thread for it.

        Args:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: none came in time.
            SubscriptionClosed: the stream has ended.
        """
        limit = None if timeout is None else seconds("timeout", timeout, zero=True)
        deadline = None if limit is None else time.monotonic() + limit
        while True:
            event = self._next()
            if event is not None:
                return event
            with self._condition:
                left = None if deadline is None else deadline - time.monotonic()
                if not self._condition.wait_for(self._heard, left):
                    raise TimeoutError(f"no event within {limit} s")
                self._rung = False

    async def aget(self, timeout: float | timedelta | None = None) -> Event:
        """The next event, awaited on asyncio or trio; a checkpoint also when one is there.

        A cancellation loses no event: it is taken after the last wait.

        Args:
            timeout: seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: none came in time.
            SubscriptionClosed: the stream has ended.
        """
        limit = None if timeout is None else seconds("timeout", timeout, zero=True)
        if trio.lowlevel.in_trio_run():
            with trio.CancelScope() as scope:
                await trio.lowlevel.checkpoint()
                if limit is not None:
                    scope.deadline = trio.current_time() + limit
                return await self._awaited()
        else:
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(limit):
                    return await self._awaited()
            except TimeoutError:
                pass
        raise TimeoutError(f"no event within {limit} s")

    async def _awaited(self) -> Event:
        while True:
            event = self._next()
            if event is not None:
                return event
            await self._bell()

    def _heard(self) -> bool:
        return self._rung or self.subscription.closed

    def _next(self) -> Event | None:
        event, more = self.subscription.receive()
        if more:
            self.tell(BELL)  # another consumer may wait for what is left
        elif event is None and self.subscription.closed:
            raise SubscriptionClosed("the stream of events is closed")
        return event

    async def _bell(self) -> None:
        wait: Callable[[], Any]
        wake: Callable[[], object]
        if trio.lowlevel.in_trio_run():
            rung, token = trio.Event(), trio.lowlevel.current_trio_token()
            wait, wake = rung.wait, lambda: token.run_sync_soon(rung.set)
        else:
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            wait = lambda: future  # noqa: E731  (said in a line)
            wake = lambda: loop.call_soon_threadsafe(_resolve, future)  # noqa: E731  (as below)
        with self._condition:
            if self._heard():
                self._rung = False
                return
            self._wakers.append(wake)
        try:
            await wait()
            self._rung = False
        finally:
            with self._condition:
                if wake in self._wakers:  # cancelled; the bell is another's, then
                    self._wakers.remove(wake)

    def after_fork(self) -> None:
        """In the child: whoever waited stayed behind, and the lock may be held there."""
        self._condition = threading.Condition()
        self._rung = False
        self._wakers = []
        self.subscription.deliverer = self

    def close(self) -> None:
        """End the stream; whoever waits is woken."""
        self.subscription.close()

    def __iter__(self) -> Iterator[Event]:
        try:
            while True:
                yield self.get()
        except SubscriptionClosed:
            return

    # Not an asynchronous generator: trio warns of one that a loop has left by `break`.
    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        try:
            return await self.aget()
        except SubscriptionClosed:
            raise StopAsyncIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<EventStream of {self.subscription!r}>"


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
