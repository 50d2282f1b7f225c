"""Pauses of our own: what looks like a slow or dead dependency and is none.

A garbage collection, a starved CPU, a suspended machine or a loop that somebody blocks makes every
call under way look late at once. A *pulse* beats while such calls are under way, and a beat that
comes too late is a pause.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import trio

from .generation import Meter

__all__ = ["Pauses", "Pulses"]

BEAT = 0.05
"""Seconds from one beat to the next; a pause is seen from twice that on."""

REMEMBERED = 64


class Pauses:
    """The latest pauses of one thread or loop: pure, told the time.

    Threads: `beat` from one, `longest` from any; a deque is safe between them.
    """

    __slots__ = ("_last", "_seen")

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self._last: float | None = None

    def beat(self, now: float) -> None:
        """It beats, as it should every `BEAT` seconds."""
        last, self._last = self._last, now
        if last is not None and now - last >= 2 * BEAT:
            self._seen.append((last, now))

    def rest(self) -> None:
        """It stops beating, and that is no pause."""
        self._last = None

    def longest(self, began: float, ended: float) -> float:
        """Seconds of the longest pause between two times, one that is not over included."""
        pauses = list(self._seen)
        last = self._last
        if last is not None and ended - last >= 2 * BEAT:
            pauses.append((last, ended))
        return max((min(end, ended) - max(begin, began) for begin, end in pauses), default=0.0)


class Pulses:
    """The pulses of one system: of the process, and of every loop in which such calls run.

    Threads: any. The thread is a daemon, starts with the first such call and ends when none is
    under way; so do the beats of a loop.
    """

    def __init__(self, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._lock = threading.Lock()
        # Invariant: all below is written under the lock.
        self._meters: dict[int, Meter] = {}
        self._process = Pauses()
        self._running = False
        self._loops: WeakKeyDictionary[Any, Pauses] = WeakKeyDictionary()

    def watch(self, meter: Meter) -> None:
        """A call of this meter begins; in the thread of that call."""
        with self._lock:
            self._meters[id(meter)] = meter
            if not self._running:
                self._running = True
                self._process.beat(self._timer())
                threading.Thread(target=self._run, name="brama-pulse", daemon=True).start()
            loop = _loop()
            if loop is None or loop in self._loops:
                return
            pauses = self._loops[loop] = Pauses()
        pauses.beat(self._timer())
        if isinstance(loop, asyncio.AbstractEventLoop):
            loop.call_later(BEAT, self._beat_asyncio, loop, pauses)
        else:
            trio.lowlevel.spawn_system_task(self._beat_trio, loop, pauses)

    def longest(self, began: float, ended: float) -> float:
        """Seconds of the longest pause that a call in this thread has met."""
        own = self._loops.get(_loop()) if self._loops else None
        found = self._process.longest(began, ended)
        return found if own is None else max(found, own.longest(began, ended))

    def _busy(self, loop: Any = None, pauses: Pauses | None = None) -> bool:
        """Whether such calls are under way; if not, whoever asks stops beating."""
        with self._lock:
            self._meters = {key: meter for key, meter in self._meters.items() if meter.flight}
            if self._meters:
                return True
            if pauses is None:
                self._running = False
                self._process.rest()
            else:
                self._loops.pop(loop, None)
            return False

    def _run(self) -> None:
        while self._busy():
            time.sleep(BEAT)
            self._process.beat(self._timer())

    def _beat_asyncio(self, loop: asyncio.AbstractEventLoop, pauses: Pauses) -> None:
        pauses.beat(self._timer())
        if self._busy(loop, pauses):
            loop.call_later(BEAT, self._beat_asyncio, loop, pauses)

    async def _beat_trio(self, loop: Any, pauses: Pauses) -> None:
        while self._busy(loop, pauses):
            await trio.sleep(BEAT)
            pauses.beat(self._timer())


def _loop() -> Any:
    """What runs this task: an asyncio loop, the token of a trio run, or None."""
    if trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_trio_token()
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
