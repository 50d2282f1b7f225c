"""One life of a system's tree on one trio loop: boot, serve, restart, ordered end."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextvars import Context
from typing import Any, Protocol

import trio

from brama.telemetry import hook_names, line

from .actor import make
from .backoff import Backoff
from .cell import DEAD, Cell
from .children import ChildSpec, check_children
from .ending import GRACE
from .exits import ExitReason, Killed, Shutdown, describe
from .health import StopReport
from .host import Host
from .supervisor import Supervisor

__all__ = ["Engine", "Tenancy"]

logger = logging.getLogger("brama.actors")

# Seconds of a stop's time that the report itself may need on a busy machine.
_LAST_WORDS = 0.1


class Tenancy(Host, Protocol):
    """What an engine needs of its system, beyond what actors need."""

    @property
    def backoff(self) -> Backoff: ...

    @property
    def stop_timeout(self) -> float: ...

    def _child_specs(self) -> Sequence[ChildSpec]: ...

    @property
    def _root_options(self) -> dict[str, Any]: ...

    def _tree_is_up(self) -> None: ...

    def _tree_is_lost(self, why: str) -> None: ...

    def leftovers(self) -> tuple[str, ...]: ...


class Engine:
    """Runs a system on the trio loop that calls `main`, from boot to ordered end.

    The tree stands in a shielded scope: when the host's scope is cancelled, the engine is told, and
    ends the tree in its own order and time; a cancelled nursery would tear it down in none.

    Threads: `stop_soon`, ``attached``, ``up`` and ``over`` from any thread; the rest on the loop.
    """

    def __init__(self, system: Tenancy) -> None:
        self._system = system
        self.root: Cell | None = None
        self.boot_error: BaseException | None = None
        self.report: StopReport | None = None
        self.attached = threading.Event()
        # The first boot has succeeded or failed (see boot_error), or the engine has ended.
        self.up = threading.Event()
        self.stop_wanted = threading.Event()
        # A stop that somebody asked for, as opposed to the one that a dying loop brings about.
        self.user_stop = threading.Event()
        # Its thread waits before it begins the first loop, which a stop has no reason to wait for.
        self.backing_off = False
        self.over = threading.Event()
        # Set before the last of its actors are abandoned; who is launched later has to see it.
        self.closed = False
        self._stop_timeout: float = 0.0
        self._stop_asked = 0.0
        self._stranded = False
        self._root_options: dict[str, Any] = {}
        # Set when there is something to look at: the root has come up, has ended, or a stop is
        # wanted.
        self._news: trio.Event | None = None

    # -- from anywhere
    # --------------------------------------------------------------------------------

    def stop_soon(self, timeout: float) -> None:
        """Ask for the ordered end, within ``timeout`` seconds. The first request counts."""
        if not self.stop_wanted.is_set():
            self._stop_timeout = timeout
            self._stop_asked = time.monotonic()
            self.stop_wanted.set()
        self._system.call_soon(self._wake)

    def strand(self) -> None:
        """The loop is gone for good: what is left of `main` must touch nothing any more."""
        self._stranded = True
        self.root = self._news = None
        self.stop_wanted.set()

    def revive(self) -> None:
        """Be ready for another `main` after a loop that died. On the thread that runs the loops."""
        self.root = self._news = None
        self.report = None
        self.stop_wanted.clear()
        if self.user_stop.is_set():  # it came while we cleared
            self.stop_wanted.set()

    # -- on the loop
    # ----------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def main(self, started: Callable[[], None], stop_timeout: float) -> None:
        """Boot, call ``started()``, serve until `stop_soon` or cancellation, end in order.

        A failed first boot is left in ``boot_error``.
        """
        booted, over = trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            # In an empty context: the host's variables are not the actors'.
            Context().run(nursery.start_soon, self._life, booted, over)
            try:
                await booted.wait()
                if self.boot_error is None:
                    started()
                    await over.wait()
            finally:
                # Also when the host's scope was cancelled, or the loop is dying around us.
                if not self._stranded:
                    self.stop_soon(stop_timeout)

    async def _life(self, booted: trio.Event, over: trio.Event) -> None:
        scheduler = self._system.scheduler
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                scheduler.attach()
                self.attached.set()
                nursery.start_soon(scheduler.run)
                nursery.start_soon(self._system.timers.run, scheduler.guarded)
                try:
                    await self._serve(booted)
                except Exception as error:
                    self._system._tree_is_lost(f"the engine failed: {error!r}")
                    logger.critical("%s: the engine failed", self._system.name, exc_info=True)
                await self._end(nursery)
        booted.set()
        over.set()

    async def _serve(self, booted: trio.Event) -> None:
        system, failures = self._system, 0
        while not self.stop_wanted.is_set():
            began = trio.current_time()
            error = await self._boot()
            if error is None:
                self._announce()
                booted.set()
                why = await self._watch_root()
                if why is None:
                    return
            elif not self.up.is_set():
                self.boot_error = error
                return
            else:
                why = f"the tree did not start again: {error}"
            if trio.current_time() - began >= system.backoff.reset_after:
                failures = 0
            failures += 1
            delay = system.backoff.delay(failures, random.random)
            line(
                logger,
                hook_names.TREE_LOST,
                "critical",
                {"system": system.name, "reason": why},
                "%s: %s; starting it again in %.1f s",
                system.name,
                why,
                delay,
            )
            system._tree_is_lost(why)
            with trio.move_on_after(delay):
                await self._stop_request()

    async def _boot(self) -> BaseException | None:
        """Start the tree; returns what prevented it."""
        system = self._system
        outcome: list[BaseException | None] = []

        def acknowledge(error: BaseException | None) -> None:
            outcome.append(error)
            self._wake()

        try:
            specs = check_children("children", system._child_specs())
            cell = make(system, Supervisor, (specs,), system._root_options)
            system.names.register(system.name, cell.ref)
        # SystemExit, too: let out, it would end the loop, and who starts the system would wait on.
        except BaseException as error:  # noqa: BLE001  (handed to whoever starts the system)
            return error
        self.root = cell
        cell.owner = self._root_ended
        cell.launch(acknowledge)
        while not outcome and not self.stop_wanted.is_set():
            await self._wait_news()
        if not outcome:
            return None  # told to stop while booting: `_end` takes down what stands
        return outcome[0]

    def _announce(self) -> None:
        self._system._tree_is_up()
        self.up.set()

    async def _watch_root(self) -> str | None:
        """Wait until the root has ended, and say why; None when a stop is wanted."""
        while True:
            if self.stop_wanted.is_set():
                return None
            if self.root is None:
                return f"the tree has ended: {self._root_reason}"
            await self._wait_news()

    def _root_ended(self, cell: Cell, reason: ExitReason) -> None:
        if self.root is cell:
            self.root = None
            self._root_reason = describe(reason)
            self._wake()

    _root_reason = ""

    def wait_up(self) -> None:
        """Wait until the tree is up; raises what has kept it from that."""
        self.up.wait()
        if self.boot_error is not None:
            raise self.boot_error

    def _wake(self) -> None:
        # Elsewhere than on the loop it is because there is none any more.
        if self._news is not None and self._system.on_loop_thread():
            self._news.set()

    async def _wait_news(self) -> None:
        self._news = trio.Event()
        await self._news.wait()

    async def _stop_request(self) -> None:
        while not self.stop_wanted.is_set():
            await self._wait_news()

    # -- the end
    # ---------------------------------------------------------------------------------------

    async def _end(self, nursery: trio.Nursery) -> None:
        system = self._system
        began = trio.current_time()
        # The request may have waited for a busy loop, and its time does not wait with it.
        timeout = system.stop_timeout  # after a boot that failed, when nobody asked
        if self.stop_wanted.is_set():
            timeout = max(0.0, self._stop_timeout - (time.monotonic() - self._stop_asked))
        # The last part belongs to those who do not end by themselves, so that whoever waits for
        # the stop gets a report within the time that they gave.
        orderly = timeout - min(GRACE, timeout / 5)
        system.dead_letters.quiet = True
        # Actors outside the tree are its clients, so they go first, with half of the time at most.
        with trio.move_on_at(began + orderly / 2):
            await self._end_cells([cell for cell in list(system.cells) if cell.owner is None])
        if self.root is not None:
            with trio.move_on_at(began + orderly):
                await self._end_cells([self.root])
        killed = [cell for cell in list(system.cells) if cell.state is not DEAD]
        for cell in killed:
            cell.kill(Killed("the system's stop took too long"))
        with trio.move_on_at(began + timeout - min(_LAST_WORDS, timeout / 20)):
            await system.scheduler.idle()
        unstoppable = [name for cell in killed if (name := cell.busy_thread)]
        unstoppable += [f"task of {name}" for name in system.scheduler.tasks]
        for who in unstoppable:
            logger.error("%s: cannot be stopped: %s; leaving it behind", system.name, who)
        # Those that ran out of their own time, now or before, have been reported already.
        unstoppable += [who for who in system.leftovers() if who not in unstoppable]
        self.report = StopReport(
            complete=not unstoppable,
            killed=tuple(str(cell.ref) for cell in killed),
            unstoppable=tuple(unstoppable),
            elapsed=trio.current_time() - began,
        )
        system.scheduler.detach()
        system.timers.clear()
        system.dead_letters.quiet = False
        nursery.cancel_scope.cancel(reason=f"{system.name} has stopped")

    async def _end_cells(self, cells: Sequence[Cell]) -> None:
        pending: set[Hashable] = set(cells)
        changed = trio.Event()

        def gone(cell: Cell) -> None:
            pending.discard(cell)
            if not pending:
                changed.set()

        def watcher(cell: Cell) -> Callable[[ExitReason], None]:
            return lambda _reason: self._on_loop(gone, cell)

        for cell in cells:
            if not cell.watch(watcher(cell)):
                pending.discard(cell)
        for cell in cells:
            cell.request_exit(Shutdown("the system stops"))
        if pending:
            await changed.wait()

    def _on_loop(self, fn: Callable[..., object], *args: object) -> None:
        if self._system.on_loop_thread():
            fn(*args)
        else:
            self._system.call_soon(fn, *args)
