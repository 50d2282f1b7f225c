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

from brama.telemetry import beacon

from .future import forbid_blocking, permit_blocking
from .stalls import StallWatch

__all__ = ["Scheduler"]

logger = logging.getLogger("brama.actors")

# Seconds of turns before trio's other tasks, timers and I/O get theirs.
_SLICE = 0.002


class _Call:
    """A function on the queue, in the place of a cell."""

    __slots__ = ("args", "busy", "fn")

    # A call has no context of its own.
    context = None

    def __init__(self, fn: Callable[..., object], args: tuple[object, ...]) -> None:
        self.fn = fn
        self.args = args
        self.busy = 0.0

    def turn(self) -> bool:
        self.fn(*self.args)
        return False


class Scheduler:
    """Gives each cell with mail its turn, on one trio loop.

    Waking a sleeping loop costs a system call (4 µs), so a sender does it only when the scheduler
    is parked. A wake from another thread drains the queue right in trio's callback and not in a
    task of ours: that saves one pass through trio's own scheduler for each request.

    Turns share an empty context as long as none of them sets a variable in it. One that does keeps
    it as the cell's own, and the others get a new one: so actors do not see each other's variables,
    and those that use none pay for none.

    Threads: `schedule` and `call_soon` from any thread; the rest on the loop.
    """

    def __init__(self, watch: StallWatch) -> None:
        self.watch = watch
        # Bound once: each cell holds it.
        self.schedule: Callable[[Any], None] = self._schedule
        self._ready: deque[Any] = deque()
        # Invariant: a sender appends first and reads `_parked` second; the loop sets `_parked`
        # first and looks at the queue second. So at least one of the two sees the other, and no
        # wake-up is lost.
        self._parked = False
        self._token: trio.lowlevel.TrioToken | None = None
        self._clock: trio.abc.Clock | None = None
        self._thread: int | None = None
        self._task: trio.lowlevel.Task | None = None
        self._context = Context()
        self._idle: list[trio.Event] = []
        # Invariant: guards _open, so that `call_soon` knows for certain whether its call will run.
        self._gate = threading.Lock()
        self._open = False
        # The tasks of actors. They stand in trio's system nursery and not in one of ours: a task
        # that does not end would keep ours from ending, and whoever runs the system with it.
        self._tasks: set[trio.lowlevel.Task] = set()

    # -- from anywhere
    # --------------------------------------------------------------------------------

    def _schedule(self, cell: Any) -> None:
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

    @property
    def thread(self) -> int | None:
        """The ident of the thread that runs the loop."""
        return self._thread

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

    def attach(self) -> None:
        """Begin to serve the calling trio loop."""
        self._token = trio.lowlevel.current_trio_token()
        self._clock = trio.lowlevel.current_clock()
        self._thread = threading.get_ident()
        self._tasks = set()
        forbid_blocking()
        beacon.watch()
        self.watch.start()
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
        self.watch.stop()
        self._parked = False
        self._token = self._thread = self._task = None
        self._ready.clear()

    def spawn_task(self, async_fn: Callable[[], Any], context: Context, name: str) -> None:
        """Run ``async_fn()``, which must not raise, as a task; it ends with `task_ended`."""
        self._tasks.add(trio.lowlevel.spawn_system_task(async_fn, name=name, context=context))

    def task_ended(self) -> None:
        """The calling task is about to end. One that was left behind may do so at any time."""
        if threading.get_ident() != self._thread:
            return  # of a loop that died: the collector has found its task, anywhere and late
        self._tasks.discard(trio.lowlevel.current_task())
        self._notify_idle()

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks that live."""
        return [task.name for task in self._tasks]

    @property
    def busy(self) -> bool:
        """Whether any cell waits for its turn or any actor's task is alive."""
        return bool(self._ready) or bool(self._tasks)

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
        if self._context:
            self._context = Context()

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
        task = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            if self._task is task:  # and not another loop's: this one may have died long ago
                self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.checkpoint_if_cancelled()
        self._task = task
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
        context = self._context
        watch = self.watch
        before = perf_counter()
        end = before + _SLICE
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
            # What this turn began with is what the last one ended with: one look at the clock each.
            watch.since = before
            own = cell.context
            try:
                if cell.turn() if own is None else own.run(cell.turn):
                    ready.append(cell)
            except BaseException:  # the loop must outlive whatever a turn does
                logger.exception("a call on the loop of the actors failed: %r", cell)
            now = perf_counter()
            cell.busy += now - before
            before = now
            if context:
                if cell.__class__ is not _Call:
                    cell.context = context
                self._context = Context()
                return True  # and go on in the new one
            if now > end:
                return True
