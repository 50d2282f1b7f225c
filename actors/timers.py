"""Messages to actors at a later time: all timers of a system on one heap."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Hashable
from datetime import timedelta
from itertools import count
from typing import Any, Protocol

import trio

from brama.telemetry import ConfigError

from .durations import duration

__all__ = ["Timer", "Timers", "set_timer", "timer_of", "timers_of", "void_timers"]

# Messages sent in one go, before the other tasks of the loop get their turn.
_BURST = 1_000


class Clockwork(Protocol):
    """The system behind an owner."""

    @property
    def timers(self) -> Timers: ...

    def on_loop_thread(self) -> bool: ...

    def call_soon(self, fn: Callable[..., object], *args: object) -> bool: ...


class Owner(Protocol):
    """The actor behind a timer."""

    _lock: threading.Lock
    # One alone, or several by key: most actors with a timer have one, and a dict weighs more than
    # the timer. Changes only under the lock, and not any more once the actor has ended.
    timers: Timer | dict[Hashable, Timer] | None

    @property
    def host(self) -> Any: ...

    @property
    def ended(self) -> bool: ...

    def send(self, item: Any) -> bool: ...


class Timer:
    """One pending message, or one that is sent again and again.

    Made by ``self.after`` and ``self.every`` in an actor, by `send_after` and `send_interval`
    elsewhere.

    Threads: any.
    """

    __slots__ = ("cancelled", "due", "interval", "key", "message", "owner", "_place")

    def __init__(self, owner: Owner, message: Any, interval: float | None, key: Hashable) -> None:
        self.owner = owner
        self.message = message
        self.due = 0.0  # in the time of the loop; only the loop writes it
        self.interval = interval
        self.key: Hashable = self if key is None else key
        self.cancelled = False
        # Only the loop touches it: off the heap, on it, or on it as a corpse that is counted.
        self._place = _OFF

    def __repr__(self) -> str:
        what = "every" if self.interval else "once"
        return f"<Timer {what}: {type(self.message).__name__}>"

    @property
    def active(self) -> bool:
        """Whether it is going to send anything."""
        return not self.owner.ended and self._kept()

    def cancel(self) -> bool:
        """Send nothing any more; False if it was over. Idempotent.

        A message that is in the mailbox already still arrives.
        """
        owner = self.owner
        with owner._lock:
            mine = self._kept()
            if mine:
                self._drop()
            self.cancelled = True
        if mine:
            _bury(owner, (self,))
        return mine

    def _fired(self) -> bool:
        """Note, on the loop, that it is due; False when it was cancelled at the last moment."""
        owner = self.owner
        with owner._lock:
            if not self._kept():
                return False
            if self.interval is None:
                self._drop()
            return True

    def _kept(self) -> bool:
        """Whether its owner still has it."""
        timers = self.owner.timers
        if isinstance(timers, dict):
            return timers.get(self.key) is self
        return timers is self

    def _drop(self) -> None:
        """Take it, which is kept, from its owner. Under the lock."""
        timers = self.owner.timers
        if isinstance(timers, dict):
            del timers[self.key]
        else:
            self.owner.timers = None


_OFF, _ON, _CORPSE = range(3)


def set_timer(
    owner: Owner, seconds: float | timedelta, message: Any, *, every: bool, key: Hashable
) -> Timer:
    """Send ``message`` to ``owner`` later; for one that has ended, never. Any thread."""
    delay = duration("seconds", seconds, zero=not every)
    try:
        hash(key)
    except TypeError:
        raise ConfigError("key", "a hashable value", key) from None
    timer = Timer(owner, message, delay if every else None, key)
    with owner._lock:
        if owner.ended:
            timer.cancelled = True
            return timer
        replaced = _keep(owner, timer)
        if replaced is not None:
            replaced.cancelled = True
    if replaced is not None:
        _bury(owner, (replaced,))
    host: Clockwork = owner.host
    if host.on_loop_thread():
        timer.due = trio.current_time() + delay
        host.timers.add(timer)
    else:
        # The loop may count another time than we do (a virtual one): only the remainder crosses.
        host.call_soon(_add_from_thread, host, timer, time.monotonic() + delay)
    return timer


def timer_of(owner: Owner, key: Hashable) -> Timer | None:
    """The pending timer of that key. Any thread."""
    timers = owner.timers
    if isinstance(timers, Timer):
        return timers if timers.key == key else None
    return timers.get(key) if timers else None


def timers_of(owner: Owner) -> tuple[Timer, ...]:
    """All that are pending at this moment. Any thread."""
    return _all(owner.timers)


def void_timers(owner: Owner, timers: Timer | dict[Hashable, Timer] | None) -> None:
    """Cancel all timers of an actor that has ended, which it holds no more. Any thread."""
    voided = _all(timers)
    if voided:
        for timer in voided:
            timer.cancelled = True
        _bury(owner, voided)


def _keep(owner: Owner, timer: Timer) -> Timer | None:
    """Have `owner` keep `timer`; returns the one that it replaces. Under the lock."""
    timers = owner.timers
    if timers is None:
        owner.timers = timer
        return None
    if isinstance(timers, Timer):
        if timers.key == timer.key:
            owner.timers = timer
            return timers
        timers = owner.timers = {timers.key: timers}
    replaced = timers.get(timer.key)
    timers[timer.key] = timer
    return replaced


def _all(timers: Timer | dict[Hashable, Timer] | None) -> tuple[Timer, ...]:
    if timers is None:
        return ()
    if isinstance(timers, Timer):
        return (timers,)
    return tuple(timers.copy().values())


def _bury(owner: Owner, timers: tuple[Timer, ...]) -> None:
    host: Clockwork = owner.host
    if host.on_loop_thread():
        host.timers.forget(timers)
    else:
        host.call_soon(host.timers.forget, timers)


def _add_from_thread(host: Clockwork, timer: Timer, due: float) -> None:
    timer.due = trio.current_time() + max(0.0, due - time.monotonic())
    host.timers.add(timer)


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
        self._corpses = 0

    def __len__(self) -> int:
        return len(self._heap) - self._corpses

    def add(self, timer: Timer) -> None:
        """Put ``timer`` on the heap; its ``due`` is in the loop's own time."""
        if timer.cancelled:
            return
        timer._place = _ON
        heapq.heappush(self._heap, (timer.due, next(self._order), timer))
        if self._scope is not None and timer.due < self._scope.deadline:
            self._scope.deadline = timer.due

    def forget(self, timers: tuple[Timer, ...]) -> None:
        """Note that these were cancelled.

        They stay until they are due or until half of the heap is such corpses: taking one out of
        the middle of a heap costs a pass over it.
        """
        for timer in timers:
            if timer._place == _ON:
                timer._place = _CORPSE
                self._corpses += 1
        if self._corpses > 64 and self._corpses * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2]._place == _ON]
            heapq.heapify(self._heap)
            self._corpses = 0

    def clear(self) -> None:
        self._scope = None
        self._heap.clear()
        self._corpses = 0

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
        # What is left after a burst is due already, so that `run` only lets the others have a turn.
        for _ in range(_BURST):
            if not self._heap or self._heap[0][0] > now:
                return
            timer = heapq.heappop(self._heap)[2]
            if timer._place == _CORPSE:
                self._corpses -= 1
                continue
            timer._place = _OFF
            if not timer._fired():
                continue
            if timer.interval is not None:
                # From the due time and not from now, so that an interval does not drift; beats that
                # a stalled loop has missed are skipped rather than delivered in a burst.
                late = now - timer.due
                timer.due += timer.interval * (1 + late // timer.interval)
                timer._place = _ON
                heapq.heappush(self._heap, (timer.due, next(self._order), timer))
            timer.owner.send(timer.message)
