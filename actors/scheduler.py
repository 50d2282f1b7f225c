"""Who runs next on the loop: a queue of cells with mail, drained in slices."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from time import perf_counter
from typing import Any

import trio

from .future import forbid_blocking, permit_blocking

__all__ = ["Scheduler"]

logger = logging.getLogger("brama.actors")

# Seconds of turns before trio's other tasks, timers and I/O get theirs.
_SLICE = 0.002


class _Call:
    """A function on the queue, in the place of a cell."""

    __slots__ = ("args", "fn")

    def __init__(self, fn: Callable[..., object], args: tuple[object, ...]) -> None:
        self.fn = fn
        self.args = args

    def turn(self) -> bool:
        self.fn(*self.args)
        return False


class Scheduler:
    """Gives each cell with mail its turn, on one trio loop.

    Waking a sleeping loop costs a system call (4 µs), so a sender does it only when the scheduler
    is parked. A wake from another thread drains the queue right in trio's callback and not in a
    task of ours: that saves one pass through trio's own scheduler for each request.

    Threads: `schedule` and `call_soon` from any thread; the rest on the loop.
    """

    def __init__(self) -> None:
        self._ready: deque[Any] = deque()
        # Invariant: a sender appends first and reads `_parked` second; the loop sets `_parked`
        # first and looks at the queue second. So at least one of the two sees the other, and no
        # wake-up is lost.
        self._parked = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._clock: trio.abc.Clock | None = None
        self._thread: int | None = None
        self._task: trio.lowlevel.Task | None = None
        self._nursery: trio.Nursery | None = None
        self._context = Context()
        self._idle: list[trio.Event] = []
        # Invariant: guards _open, so that `call_soon` knows for certain whether its call will run.
        self._gate = threading.Lock()
        self._open = False
        self._tasks = 0

    # -- from anywhere
    # --------------------------------------------------------------------------------

    def schedule(self, cell: Any) -> None:
        """Give ``cell`` a turn soon. Never raises."""
        self._ready.append(cell)
        if self._parked:
            self._wake()

    def call_soon(self, fn: Callable[..., object], *args: object) -> bool:
        """Call ``fn(*args)`` on the loop soon; False, and never called, when there is no loop.

        What ``fn`` raises is logged.
        """
        call = _Call(fn, args)
        with self._gate:
            if not self._open:
                return False
            self._ready.append(call)
        if self._parked:
            self._wake()
        return True

    def now(self) -> float:
        """The time by the clock of the loop; the last one's while there is none."""
        clock = self._clock
        return 0.0 if clock is None else clock.current_time()

    def on_loop_thread(self) -> bool:
        return threading.get_ident() == self._thread

    def _wake(self) -> None:
        # `in_trio_task` as well: a signal handler runs on this thread while trio sleeps in its
        # poll, and only the token can end that sleep.
        if threading.get_ident() == self._thread and trio.lowlevel.in_trio_task():
            self._parked = False
            self._unpark()
            return
        token = self._token
        if token is None:
            return
        try:
            # Before the call: the other way round, a loop that parks again in between would be
            # marked as awake.
            self._parked = False
            token.run_sync_soon(self._enter)
        except trio.RunFinishedError:
            pass  # the loop is over; its end has closed every mailbox
        except BaseException:
            # A KeyboardInterrupt between the two lines above: leave it to the next sender.
            self._parked = True
            raise

    # -- on the loop
    # ----------------------------------------------------------------------------------

    def attach(self, nursery: trio.Nursery) -> None:
        """Begin to serve the calling trio loop."""
        self._token = trio.lowlevel.current_trio_token()
        self._clock = trio.lowlevel.current_clock()
        self._nursery = nursery
        self._thread = threading.get_ident()
        self._tasks = 0
        forbid_blocking()
        with self._gate:
            self._open = True

    def detach(self) -> None:
        """Serve what is queued one last time, and no more."""
        with self._gate:
            self._open = False
        while self._context.run(self._slice):
            pass
        self.abandon()
        permit_blocking()

    def abandon(self) -> None:
        """Forget the loop: it is gone."""
        with self._gate:
            self._open = False
        self._parked = False
        self._token = self._nursery = self._thread = self._task = None
        self._ready.clear()

    def spawn_task(self, async_fn: Callable[[], Any]) -> None:
        """Run ``async_fn()``, which must not raise, as a task; it ends with `task_ended`."""
        assert self._nursery is not None
        self._tasks += 1
        self._nursery.start_soon(async_fn)

    def task_ended(self) -> None:
        self._tasks -= 1
        self._notify_idle()

    @property
    def busy(self) -> bool:
        """Whether any cell waits for its turn or any actor's task is alive."""
        return bool(self._ready) or self._tasks > 0

    async def idle(self) -> None:
        """Wait until the scheduler is not busy, if only for a moment."""
        if self.busy:
            event = trio.Event()
            self._idle.append(event)
            await event.wait()

    def guarded(self, fn: Callable[[], object]) -> None:
        """Call ``fn()`` as a turn: in the context of the actors; whatever it raises is logged."""
        try:
            self._context.run(fn)
        except BaseException:  # the loop must outlive it
            logger.exception("a call on the loop of the actors failed: %r", fn)

    def _notify_idle(self) -> None:
        if self._idle and not self.busy:
            waiting, self._idle = self._idle, []
            for event in waiting:
                event.set()

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            while self._context.run(self._slice):
                await trio.lowlevel.checkpoint()
            await self._park()

    async def _park(self) -> None:
        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.checkpoint_if_cancelled()
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _unpark(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _enter(self) -> None:
        # Called by trio, which dies of any exception: `_slice` lets none out.
        if self._token is not None and self._context.run(self._slice):
            self._unpark()

    def _slice(self) -> bool:
        """Give turns for a while; True when there are more to give, else parked."""
        self._parked = False
        ready = self._ready
        end = perf_counter() + _SLICE
        turns = 0
        while True:
            try:
                cell = ready.popleft()
            except IndexError:
                self._parked = True
                if ready:
                    self._parked = False
                    continue
                self._notify_idle()
                return False
            try:
                if cell.turn():
                    ready.append(cell)
            except BaseException:  # the loop must outlive whatever a turn does
                logger.exception("a call on the loop of the actors failed: %r", cell)
            turns += 1
            if not turns & 15 and perf_counter() > end:
                return True
