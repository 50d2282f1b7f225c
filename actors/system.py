"""Actor systems: a supervision tree, its loop, its names, its life in the process."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from datetime import timedelta
from typing import Any, Self, TypeVar

import trio
from pykka import ActorRegistry

from brama.telemetry import ConfigError, attached, execute, hook_names, takes_only

from . import future, latch, process
from .actor import HostedActor, make
from .backoff import Backoff
from .cell import Cell
from .children import ChildSpec, check_children, check_name
from .dead_letters import DeadLetters
from .durations import duration
from .engine import Engine
from .errors import SystemStoppedError
from .health import Faults, StopReport
from .intensity import RESTART_WORDS, Intensity
from .names import Names
from .overview import Overview
from .ref import ActorRef
from .residence import HostLoop, Visit, check_run, own_thread
from .scheduler import Scheduler
from .stalls import StallWatch
from .timers import Timers

__all__ = ["ActorSystem"]

logger = logging.getLogger("brama.actors")

A = TypeVar("A", bound=HostedActor)


@takes_only("an option of an actor system", RESTART_WORDS)
class ActorSystem(Overview):
    """Actors that live together: one trio loop, one supervision tree, one set of names.

    Example:
        >>> with ActorSystem("shop", children=[ChildSpec("prices", Prices)]) as system:
        ...     system.names.via("prices").tell("refresh")
        ...     print(system.tree())

    In a trio program, on the program's own loop:

        >>> async with system:
        ...     ...

    and in a nursery that is there already ``await nursery.start(system.run)``. In an asyncio
    program ``async with`` is what ``with`` is elsewhere, and blocks nobody.

    Options:
        name: for logs, threads, and the root supervisor, which is registered under it.
        children: specs of the root's children, or a function that returns them, called at each
            (re)start of the tree. The root is ``one_for_one``.
        stop_timeout: seconds for a stop of everything, 5.0; a `timedelta` is accepted.
        at_exit: called at the exit of the interpreter, when the tree has ended, with the seconds
            that are left; for what its children have set going elsewhere.
        intensity, period: of the root, 3 in 5.0 s. When it is exceeded, or the loop dies, that is
            a CRITICAL log line and ``health().status == "degraded"``, and the tree starts again
            after a back-off.
        backoff: of those restarts, 0.5 to 30 s.
        stall_threshold: seconds that a hook may hold the loop before that is a `Stall`, 0.05: a
            WARNING with its stack (one in 10 s at most), `brama.actor.stall` on the hook bus, and
            ``stalls``. None: nobody watches.

    Nothing starts before `start`, `run` or the first `spawn`. The loop's thread is a daemon with an
    empty context; the interpreter's exit stops the system within its deadline, and finishes it.
    After a fork, the child's system is as new, and refs of the parent fail with a text that says
    why.

    Threads: every method may be called from any thread.
    """

    def __init__(
        self,
        name: str = "brama",
        *,
        children: Sequence[ChildSpec] | Callable[[], Sequence[ChildSpec]] = (),
        stop_timeout: float | timedelta = 5.0,
        at_exit: Callable[[float], object] | None = None,
        intensity: int = 3,
        period: float | timedelta = 5.0,
        backoff: Backoff | None = None,
        stall_threshold: float | timedelta | None = 0.05,
    ) -> None:
        if type(name) is not str or not name.strip():
            raise ConfigError("name", "a non-empty text", name)
        Intensity(intensity, period)  # complains here and now
        self._name = name
        self._children = children if callable(children) else check_children("children", children)
        self._root_options = {"intensity": intensity, "period": period}
        self.stop_timeout = duration("stop_timeout", stop_timeout)
        if not (at_exit is None or callable(at_exit)):
            raise ConfigError(
                "at_exit", "a function of the seconds that are left, or None", at_exit
            )
        self._at_exit = at_exit
        if not (backoff is None or isinstance(backoff, Backoff)):
            raise ConfigError("backoff", "a Backoff, or None", backoff)
        self.backoff = backoff or Backoff(min=0.5, max=30.0)
        self._stall_threshold = (
            None if stall_threshold is None else duration("stall_threshold", stall_threshold)
        )
        self.on_ready: list[Callable[[], object]] = []
        """Called on the loop each time that the tree has come up; what one raises is logged."""
        self._dead_letters = DeadLetters(name)
        self._names = Names(self._dead_letters)
        self._report: StopReport | None = None
        self._stopped = False
        self._finished = False
        self._renew()

    def _renew(self) -> None:
        # Invariant: guards _engine, _thread, _stopped. Never held while waiting.
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._thread: threading.Thread | None = None
        self._host_loop: HostLoop | None = None
        self._visit: Visit | None = None
        self.scheduler = Scheduler(StallWatch(self._name, self._stall_threshold))
        self.timers = Timers()
        # Every live cell, which also keeps its actor alive: a ref alone does not.
        # A dict for a set, which takes up to four times the room.
        self.cells: dict[Cell, None] = {}
        self.faults = Faults()

    def __repr__(self) -> str:
        return f"<ActorSystem {self._name!r} {'running' if self.running else 'not running'}>"

    # -- start and stop
    # -------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the loop's thread and the tree; returns once the tree is up. Idempotent.

        Raises:
            ActorStartError: a child did not start; the system is as before.
            SystemStoppedError: the interpreter is exiting.
            HostError: this process cannot host trio.
        """
        if self.on_loop_thread():
            return self
        engine = self._begin()
        while engine.user_stop.is_set():  # not the one that we want: it is on its way out
            if not engine.over.wait(min(self.stop_timeout, threading.TIMEOUT_MAX)):
                raise SystemStoppedError(f"{self._name} is being stopped, and that does not end")
            engine = self._begin()
        engine.wait_up()
        return self

    def start_soon(self) -> None:
        """Begin to start and return at once; an explicit `stop` is respected. Idempotent.

        What is sent meanwhile through `call_soon` is refused: `on_ready` says when the tree is up.

        Raises:
            SystemStoppedError: it was or is being stopped, or the interpreter is exiting.
            HostError: this process cannot host trio.
        """
        self._begin(again=False)

    def _begin(self, *, again: bool = True) -> Engine:
        with self._lock:
            engine = self._engine
            # Under the lock: else it might end in between, and would be taken for never begun.
            if not again and (self._stopped if engine is None else engine.user_stop.is_set()):
                raise SystemStoppedError(
                    f"{self._name} {'was' if engine is None else 'is being'} stopped: call start() "
                    "to use it again, or make a new system"
                )
            if engine is not None:
                return engine
            self._check_may_start()
            engine = self._engine = Engine(self)
            self._stopped = False
            self._thread = own_thread(self, engine)
            process.adopt(self)
            self._thread.start()
        return engine

    def _check_may_start(self) -> None:
        if process.exiting() or self._finished:
            raise SystemStoppedError(f"{self._name} is finished: the interpreter is exiting")
        process.check_host()

    def ensure_running(self) -> None:
        """Start if this has not happened yet; an explicit `stop` is respected.

        Raises:
            SystemStoppedError: it was stopped.
        """
        engine = self._engine
        if engine is None:
            self._begin(again=False).wait_up()
        elif not engine.attached.is_set() and not self.on_loop_thread():
            # Attached, not up: an actor of a tree that is coming up may start others.
            engine.attached.wait()

    async def run(
        self, *, task_status: trio.TaskStatus[ActorSystem] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run on the calling trio loop until `stop` or cancellation; either way the end is ordered.

        Example:
            >>> await nursery.start(system.run)      # returns once the tree is up

        Raises:
            HostError: it is awaited by something else than trio.

        Failure: a loop that dies beneath it takes every actor with it; the system goes on, after
        a back-off, on a thread of its own.
        """
        check_run(self._name)
        with self._lock:
            if self._engine is not None:
                raise SystemStoppedError(f"{self._name} is running already")
            self._check_may_start()
            engine = self._engine = Engine(self)
            self._stopped = False
            process.adopt(self)
            if self._host_loop is not None:
                self._host_loop.forget()
            host = self._host_loop = HostLoop(lambda: self._host_died(engine))
        host.enter()
        try:
            await engine.main(lambda: task_status.started(self), self.stop_timeout)
        finally:
            if not host.gone:
                told = engine.user_stop.is_set() or engine.boot_error is not None
                host.leave(cancelled=not told)
                self._over(engine)
        if engine.boot_error is not None:
            raise engine.boot_error

    def _host_died(self, engine: Engine) -> None:
        with self._lock:
            if self._engine not in (engine, None):
                return  # it lives elsewhere by now
            told = engine.user_stop.is_set() or process.exiting()
            self._engine = engine
        engine.strand()
        self._loop_died("the host's loop died beneath run()")
        if told:
            self._over(engine)
            return
        delay = self.backoff.delay(1, lambda: 0.5)
        logger.critical(
            "%s: the host's loop died beneath run(), and every actor with it; going on in %.1f s, "
            "on a thread of its own. Circuits go on protecting, their events wait",
            self._name,
            delay,
        )
        with self._lock:
            self._engine = Engine(self)
            self._stopped = False
            thread = self._thread = own_thread(self, self._engine, delay)
        thread.start()
        engine.over.set()

    def _loop_died(self, why: str) -> None:
        """The loop is gone, and nothing that was on it will run again."""
        self._tree_is_lost(why)
        self.scheduler.abandon()
        self.timers.clear()
        self._abandon_cells("the loop died")

    def _abandon_cells(self, why: str) -> None:
        for cell in list(self.cells):
            try:
                cell.abandon(why)
            except Exception:  # a watcher's fault, and the others have to end all the same
                logger.exception("%s: %s did not take its end", self._name, cell.ref)

    def _over(self, engine: Engine) -> None:
        """The engine has ended for good. Idempotent: by now another one may be at work here."""
        if engine.closed:
            return
        engine.closed = True
        if self.cells:
            self.scheduler.abandon()
            self._abandon_cells("the system has stopped")
        with self._lock:
            if self._engine is engine:
                self._engine = self._thread = None
                self._stopped = engine.boot_error is None
                self._report = engine.report or StopReport(complete=True)
        engine.attached.set()
        engine.up.set()
        engine.over.set()

    def _come_up(self, timeout: float) -> None:
        """Wait for a start that is under way, for at most ``timeout`` seconds.

        Whoever begins to start has something for the tree to do, which a stop that overtakes the
        start would lose.
        """
        engine, thread = self._engine, self._thread
        # Beneath a host's loop it is that which has to go on.
        if engine is None or thread is None or thread is threading.current_thread():
            return
        if not engine.backing_off:
            engine.up.wait(timeout)

    def request_stop(self, timeout: float | None = None) -> None:
        """Begin to stop, and return at once."""
        engine = self._engine
        if engine is not None:
            engine.user_stop.set()
            engine.stop_soon(self.stop_timeout if timeout is None else timeout)

    def stop(self, timeout: float | timedelta | None = None) -> StopReport:
        """Stop all in order, within ``timeout`` seconds (default ``stop_timeout``). Idempotent.

        A start that is under way comes first, for half of the time at most. Then actors outside the
        tree end, then the tree in reverse. What has not ended when a fifth of
        the time (at most 1 s) is left is killed; what cannot be killed is named in the report, as
        is a loop that does not answer. It returns within the time in any case, and what is under
        way goes on. On the loop's own thread, and in a hook of a blocking actor of its own, it
        would wait for its caller: there it returns at once with ``complete=False``.

        Raises:
            ConfigError: `timeout` is negative, or no duration.
        """
        seconds = self.stop_timeout if timeout is None else duration("timeout", timeout, zero=True)
        seconds = min(seconds, threading.TIMEOUT_MAX / 2)  # an event refuses to wait for longer
        end = time.monotonic() + seconds
        with self._lock:
            engine, thread = self._engine, self._thread
            if engine is None:
                self._stopped = True
                return self._report or StopReport(complete=True)
        self._come_up(seconds / 2)
        self.request_stop(max(0.0, end - time.monotonic()))
        if self.awaits_caller():
            return StopReport(complete=False)
        if not engine.over.wait(max(0.0, end - time.monotonic())):
            stuck = [name for cell in list(self.cells) if (name := cell.busy_thread)]
            stuck += [who for who in self.leftovers() if who not in stuck]
            return StopReport(
                complete=False,
                unstoppable=(*stuck, f"the loop of {self._name}"),
                elapsed=seconds,
            )
        if thread is not None and (engine.report is None or engine.report.complete):
            # It has nothing left to do but to end.
            thread.join(max(0.0, end - time.monotonic()))
        return engine.report or StopReport(complete=True)

    def _finish(self, timeout: float) -> None:
        """Stop for good, at the exit of the interpreter."""
        end = time.monotonic() + timeout
        engine = self._engine
        if engine is not None:
            engine.over.wait(timeout)
        if self._at_exit is not None:
            self._at_exit(max(0.0, end - time.monotonic()))
        self._dead_letters.quiet = True
        self._finished = True

    def _after_fork(self) -> None:
        """In the child of a fork: all that was alive is dead, and the system is as new."""
        future.after_fork()
        latch.after_fork()
        orphans = list(self.cells)
        for cell in orphans:
            cell.orphan()
        registered = {cell.ref for cell in orphans if cell.registered}
        if registered:
            # Without its lock, which some thread of the parent may have held; there is only us
            # here.
            ActorRegistry._actor_refs[:] = [
                ref for ref in ActorRegistry._actor_refs if ref not in registered
            ]
        self._names.clear()
        self._dead_letters.after_fork()
        self._stopped = self._finished = False
        self._renew()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        """In a trio program `run` on its own loop; in an asyncio one `start`, blocking nobody."""
        if self.running or not trio.lowlevel.in_trio_run():
            ours = self._engine is None
            try:
                await self._in_thread(self.start)
            except BaseException:
                # Cancelled on asyncio, where the thread goes on all the same; and nobody who could
                # stop what it starts would ever hear of it.
                if ours:
                    self.request_stop()
                raise
        else:
            visit = Visit(self.run)
            await visit.begin()
            self._visit = visit
        return self

    async def __aexit__(self, *_exc: object) -> None:
        visit = self._visit
        if visit is None or not visit.of_this_task():
            await self._in_thread(self.stop)
        else:
            self._visit = None
            self.request_stop()
            await visit.end()

    @staticmethod
    async def _in_thread(fn: Callable[[], object]) -> None:
        if trio.lowlevel.in_trio_run():
            await trio.to_thread.run_sync(fn)
        else:
            import asyncio  # for those who are there already

            await asyncio.to_thread(fn)

    # -- use
    # -------------------------------------------------------------------------------------------

    def spawn(
        self, cls: type[A], *args: Any, name: Hashable | None = None, **kwargs: Any
    ) -> ActorRef[A]:
        """Start an actor that nobody supervises; the arguments go to its constructor.

        Unlike ``cls.start()``, it belongs to this system and is not in ``pykka.ActorRegistry``. It
        ends by itself, by ``ref.stop()``, by a crash, or with the system.

        Args:
            name: any hashable value, registered in ``names`` before `on_start`.

        Raises:
            ConfigError: a name that cannot be one.
            NameTakenError: another live actor has it.
        """
        if name is not None:
            check_name("name", name)
        self.ensure_running()
        cell = make(self, cls, args, kwargs)
        ref: ActorRef[A] = cell.ref
        if name is not None:
            self._names.register(name, ref)
        cell.launch()
        return ref

    def call_soon(self, fn: Callable[..., object], *args: object) -> bool:
        """Call ``fn(*args)`` on the loop soon; what it raises is logged.

        Returns False, and never calls it, when the system does not run; it is not started for this.
        """
        return self.scheduler.call_soon(fn, *args)

    # -- for the engine
    # ---------------------------------------------------------------------

    def _child_specs(self) -> Sequence[ChildSpec]:
        return self._children() if callable(self._children) else self._children

    def _tree_is_up(self) -> None:
        for callback in list(self.on_ready):
            self.scheduler.guarded(callback)

    def _tree_is_lost(self, why: str) -> None:
        self.faults.lost(why)
        if attached(hook_names.TREE_LOST):
            execute(
                hook_names.TREE_LOST,
                {"system_time": time.time(), "count": self.faults.losses},
                {"system": self._name, "reason": why},
            )
