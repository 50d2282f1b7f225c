"""The stall watch: what held the loop too long, with its stack; and the loop's lag.

One thread looks over the loop's shoulder. It sleeps while the loop does, and wakes about twenty
times a second while there is work, so that a hook that blocks is caught in the act: afterwards its
stack would be gone.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import deque
from time import perf_counter
from typing import Any

import trio
from attrs import field, frozen

from brama.telemetry import execute, hook_names, line

from .mailbox import unwrapped
from .whose import running_in

__all__ = ["LoopLag", "Stall", "StallWatch"]

logger = logging.getLogger("brama.actors")

# Passes of the loop that the percentiles look back on.
_RECENT = 512
# Seconds without a pass after which the thread goes to sleep until there is one.
_CALM = 1.0
# Seconds after which a doubtful stall is looked at again.
_NAP = 0.01
# One line in the log per so many seconds; each stall is announced and counted.
_LOG_INTERVAL = 10.0
_FRAMES = 25
_REMEMBERED = 32


@frozen
class Stall:
    """Something has held the loop of the actors, and every actor with it."""

    system: str
    actor_class: str | None
    """The class of the actor whose hook it is; None when it is no actor's."""
    actor: str | None
    """Its ref, as text."""
    hook: str | None
    """``on_start``, ``on_receive``, ``on_stop`` or ``on_failure``."""
    message_type: str | None
    """The class of the message that is being handled."""
    task: str | None
    """The trio task that runs."""
    duration: float
    """Seconds so far: it was caught in the act and may go on."""
    stack: tuple[str, ...] = field(repr=False)
    """Where it is, as lines of a traceback, innermost last."""
    timestamp: float
    """Seconds since the epoch."""


@frozen
class LoopLag:
    """How long the loop makes timers and I/O wait, in seconds: the length of its passes."""

    now: float
    """Of the last pass, or of the present one if that is longer already."""
    p50: float
    p99: float
    """Of the recent passes, at most 512."""
    worst: float
    """Since the loop has begun."""


class StallWatch(trio.abc.Instrument):
    """Watches one loop. An `Instrument` of trio that only notes times.

    Threads: the instrument's methods on the loop; the rest from any.
    """

    __slots__ = (
        "_bell",
        "_lags",
        "_logged",
        "_loop_thread",
        "_parked",
        "_pass_began",
        "_stalls",
        "_system",
        "_task",
        "_thread",
        "_threshold",
        "since",
        "worst",
    )

    def __init__(self, system: str, threshold: float | None) -> None:
        self._system = system
        self._threshold = threshold
        # When what runs now began to run; None while the loop waits for something to do. Within one
        # step the scheduler renews it for each actor that it gives a turn.
        self.since: float | None = None
        self._task: trio.lowlevel.Task | None = None
        self._pass_began = perf_counter()
        self._lags: deque[float] = deque(maxlen=_RECENT)
        self.worst = 0.0
        self._stalls: deque[Stall] = deque(maxlen=_REMEMBERED)
        self._logged = -float("inf")
        # Invariant: the thread waits for _bell while _parked; only the loop's thread releases it.
        self._bell = threading.Lock()
        self._parked = False
        self._thread: threading.Thread | None = None
        self._loop_thread = 0

    # -- on the loop
    # ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Watch the calling loop."""
        trio.lowlevel.add_instrument(self)
        self._pass_began = self.since = perf_counter()
        if self._threshold is not None:
            self._loop_thread = threading.get_ident()
            self._bell = threading.Lock()
            self._bell.acquire()
            self._thread = threading.Thread(
                target=self._look, name=f"{self._system}-stalls", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Watch no more. On the loop, or on its thread once it is gone. Idempotent."""
        try:
            trio.lowlevel.remove_instrument(self)
        except (KeyError, RuntimeError):
            pass  # the loop is gone, and its instruments with it
        self.since = None
        thread, self._thread = self._thread, None
        if thread is not None:
            self._parked = False
            if self._bell.locked():
                self._bell.release()
            thread.join(1.0)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._task = task
        self.since = perf_counter()

    def before_io_wait(self, timeout: float) -> None:
        self.since = self._task = None
        lag = perf_counter() - self._pass_began
        self._lags.append(lag)
        if lag > self.worst:
            self.worst = lag

    def after_io_wait(self, timeout: float) -> None:
        self._pass_began = self.since = perf_counter()
        if self._parked:
            self._parked = False
            self._bell.release()

    # -- from anywhere
    # --------------------------------------------------------------------------------

    def lag(self) -> LoopLag:
        """The lag of the loop, recent and worst."""
        recent = list(self._lags)
        now = recent[-1] if recent else 0.0
        if self.since is not None:
            now = max(now, perf_counter() - self._pass_began)
        lags = sorted(recent) or [now]
        return LoopLag(
            now=now,
            p50=lags[len(lags) // 2],
            p99=lags[min(len(lags) - 1, len(lags) * 99 // 100)],
            worst=max(self.worst, now),
        )

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The latest stalls, oldest first."""
        return tuple(self._stalls)

    # -- on the watching thread
    # -----------------------------------------------------------------------

    def _look(self) -> None:
        threshold = self._threshold
        assert threshold is not None
        wait, calm, reported = threshold, 0.0, 0.0
        burnt = self._cpu_time()
        while True:
            asleep = perf_counter()
            self._bell.acquire(timeout=max(wait, 0.001))
            if self._thread is not threading.current_thread():
                return
            now, since = perf_counter(), self.since
            overslept = now - asleep > wait + _NAP
            before, burnt = burnt, self._cpu_time()
            if since is None:
                calm += wait
                wait = threshold
                if calm >= _CALM:
                    calm = 0.0
                    self._park(threshold)
                continue
            calm = 0.0
            held = now - since
            if held < threshold:
                wait = threshold - held
            elif since == reported:
                wait = threshold
            elif overslept and burnt - before < held / 2:
                # We did not run either, and nobody kept us from it by working: the machine was
                # elsewhere. If it is a stall, it is still there after a nap.
                wait = _NAP
            else:
                reported, wait = since, threshold
                self._report(since)

    def _cpu_time(self) -> float:
        """Seconds of processor that the loop's thread has used, where the system tells it."""
        try:
            return time.clock_gettime(time.pthread_getcpuclockid(self._loop_thread))
        except (AttributeError, OSError):
            return 0.0

    def _park(self, threshold: float) -> None:
        self._parked = True
        # The loop sets `since` first and looks at `_parked` second, we the other way round, so one
        # of us sees the other. A ring that comes too late only wakes us once for nothing.
        self._bell.acquire(timeout=-1 if self.since is None else threshold)

    def _report(self, since: float) -> None:
        stall = self._caught(since)
        if stall is None:
            return
        self._stalls.append(stall)
        about = {
            "actor_class": stall.actor_class,
            "name": None,
            "actor": stall.actor,
            "system": stall.system,
            "hook": stall.hook,
            "message_type": stall.message_type,
            "task": stall.task,
            "stack": stall.stack,
        }
        if perf_counter() - self._logged >= _LOG_INTERVAL:
            self._logged = perf_counter()
            line(
                logger,
                hook_names.ACTOR_STALL,
                "warning",
                about,
                "%s: the loop of the actors is held up for %.0f ms by %s; all actors wait. "
                "It is here:\n%s",
                self._system,
                stall.duration * 1000,
                _who(stall),
                "".join(stall.stack).rstrip(),
            )
        execute(
            hook_names.ACTOR_STALL,
            {"system_time": stall.timestamp, "duration": stall.duration},
            about,
        )

    def _caught(self, since: float) -> Stall | None:
        frame: Any = sys._current_frames().get(self._loop_thread)
        task = self._task
        running = running_in(frame)
        stack = tuple(traceback.format_stack(frame)[-_FRAMES:])
        del frame
        if self.since != since:
            return None  # it has ended while we looked, and what we saw may be another
        cell = None if running is None else running.cell
        item = None if running is None else running.item
        return Stall(
            system=self._system,
            actor_class=None if cell is None else cell.ref.actor_class.__name__,
            actor=None if cell is None else str(cell.ref),
            hook=None if running is None else running.hook,
            message_type=None if item is None else type(unwrapped(item)).__qualname__,
            task=None if task is None else task.name,
            duration=perf_counter() - since,
            stack=stack,
            timestamp=time.time(),
        )


def _who(stall: Stall) -> str:
    if stall.actor_class is None:
        return f"the task {stall.task}"
    message = f" ({stall.message_type})" if stall.message_type else ""
    return f"{stall.hook}{message} of {stall.actor}"
