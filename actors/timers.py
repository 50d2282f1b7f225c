"""Messages to oneself at a later time: all timers of a system on one heap."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable
from itertools import count
from typing import Any, Protocol

import trio

__all__ = ["Timer", "Timers"]


class Owner(Protocol):
    """The actor behind a timer."""

    @property
    def closed(self) -> bool: ...

    def send(self, item: Any) -> bool: ...

    def timer_done(self, timer: Timer) -> None: ...


class Timer:
    """One pending message; made by ``after`` and ``every``.

    Threads: `cancel` from the actor's own hooks, or from any thread with the usual race: a message
    that is in the mailbox already still arrives.
    """

    __slots__ = ("cancelled", "due", "interval", "key", "message", "owner")

    def __init__(
        self, owner: Owner, message: Any, due: float, interval: float | None, key: Hashable
    ) -> None:
        self.owner = owner
        self.message = message
        self.due = due
        self.interval = interval
        self.key: Hashable = self if key is None else key
        self.cancelled = False

    def cancel(self) -> None:
        """Send nothing any more. Idempotent."""
        self.cancelled = True
        self.owner.timer_done(self)


class Timers:
    """The heap, and the one task that sleeps until its top is due.

    It follows the clock of the loop that it runs on, so tests drive it with trio's ``MockClock``. A
    pending timer costs its place on the heap and nothing else.

    Threads: all methods on the loop thread.
    """

    def __init__(self) -> None:
        # The counter breaks ties: equal due times fire in the order in which they were set.
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._scope: trio.CancelScope | None = None
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(self, timer: Timer) -> None:
        """Put ``timer`` on the heap; its ``due`` is in the loop's own time."""
        if timer.cancelled:
            return
        heapq.heappush(self._heap, (timer.due, next(self._order), timer))
        if self._scope is not None and timer.due < self._scope.deadline:
            self._scope.deadline = timer.due

    def forget(self) -> None:
        """Note that a timer on the heap was cancelled.

        It stays until it is due or until half of the heap is such corpses: taking one out of the
        middle of a heap costs a pass over it.
        """
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].cancelled]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def clear(self) -> None:
        self._heap.clear()
        self._cancelled = 0

    async def run(self, guard: Callable[[Callable[[], None]], None]) -> None:
        """Fire what is due, for ever; ``guard`` calls a function and never raises."""
        while True:
            due = self._heap[0][0] if self._heap else float("inf")
            # Not `sleep_until`: an earlier timer moves the deadline of the scope that we sleep in.
            with trio.CancelScope(deadline=due) as self._scope:
                await trio.sleep_forever()
            self._scope = None
            guard(self._fire)

    def _fire(self) -> None:
        now = trio.current_time()
        while self._heap and self._heap[0][0] <= now:
            timer = heapq.heappop(self._heap)[2]
            if timer.cancelled:
                self._cancelled -= 1
                continue
            if timer.interval is None:
                timer.owner.timer_done(timer)
            else:
                # From the due time and not from now, so that an interval does not drift; beats that
                # a stalled loop has missed are skipped rather than delivered in a burst.
                late = now - timer.due
                timer.due += timer.interval * (1 + late // timer.interval)
                heapq.heappush(self._heap, (timer.due, next(self._order), timer))
            timer.owner.send(timer.message)
