"""Actors that may block: pykka's threading actor under our supervision protocol."""

from __future__ import annotations

import threading
from contextvars import Context
from itertools import count
from queue import SimpleQueue
from time import perf_counter
from typing import Any, ClassVar

from .actor import HostedActor
from .bounded import Bounded
from .cell import DEAD, NEW, ORPHAN, RUNNING, STARTING
from .exits import ExitReason
from .static import PlainHooks, PykkaThreadingActor
from .turns import PlainCell

__all__ = ["BlockingActor", "BlockingCell", "BoundedBlockingCell"]

_number = count()


class BlockingCell(PlainCell):
    """A `PlainCell` that works on a thread of its own."""

    __slots__ = ("_began", "_doorbell", "_left", "_released", "thread")
    kind = "blocking"

    def __init__(self, actor: Any, host: Any) -> None:
        super().__init__(actor, host)
        self._doorbell: SimpleQueue[None] = SimpleQueue()
        self._wake = self._ring
        self.thread: threading.Thread | None = None
        self._began = 0.0
        # Its thread has left, its end has been told. Whoever comes second lets go of the actor.
        self._left = False
        self._released = False

    def _ring(self, _cell: object) -> None:
        self._doorbell.put(None)

    def has_on_start(self) -> bool:
        return True  # also without a hook: it has started when its thread has

    def launch(self, ack: Any = None) -> None:
        if self.actor is None:
            super().launch(ack)
            return
        self.thread = threading.Thread(
            # In an empty context, also where new threads inherit their creator's.
            target=Context().run,
            args=(self._run,),
            name=f"{type(self.actor).__name__}-{next(_number)}",
            daemon=self.actor.use_daemon_thread,
        )
        super().launch(ack)
        try:
            self.thread.start()
        except BaseException:  # no threads left, or an interpreter on its way out
            self._left = True
            self.abandon("its thread could not be started")
            raise

    def _run(self) -> None:
        try:
            while self.state in (STARTING, RUNNING):
                self._doorbell.get()
                began = self._began = perf_counter()
                while self.turn():
                    pass
                self._began = 0.0
                self.busy += perf_counter() - began
        finally:
            self._left = True
            if self._released:
                self.actor = None

    def _release_actor(self) -> None:
        # Only told, not dropped: after a kill its thread may be in the middle of a hook.
        self.actor._on_exited()
        self._released = True
        if self._left:
            self.actor = None

    def kill(self, reason: ExitReason) -> None:
        """End it for everybody else; a hook that runs goes on, nothing follows it. Any thread."""
        if self.state in (DEAD, ORPHAN):
            return
        if self.state is NEW:
            self._left = True  # there is no thread to let go of the actor
        self._retire()
        self._finish(reason)
        self._attention = True
        self._doorbell.put(None)
        busy = self.busy_thread
        if busy is not None and not self.runs_here():
            self.host.faults.left_behind(self, busy)

    def abandon(self, why: str) -> None:
        super().abandon(why)
        self._doorbell.put(None)

    def busy_for(self) -> float:
        began = self._began
        return self.busy + (perf_counter() - began if began else 0.0)

    def runs_here(self) -> bool:
        thread = self.thread
        return thread is not None and thread.ident == threading.get_ident()

    def works_here(self) -> bool:
        # Its hooks are plain: whoever awaits on its thread does so in a loop that one of them runs.
        return self.runs_here()

    @property
    def busy_thread(self) -> str | None:
        thread = self.thread
        return thread.name if self.executing and thread is not None and thread.is_alive() else None


class BoundedBlockingCell(Bounded, BlockingCell):
    """A blocking actor's cell with a limit on its mail."""

    __slots__ = ()

    def own_thread(self) -> bool:
        return self.runs_here()


class BlockingActor(HostedActor, PlainHooks, PykkaThreadingActor):
    """An actor with plain hooks that may block, run on a daemon thread of its own.

    Example:
        >>> class Store(BlockingActor):
        ...     def on_start(self):
        ...         self.db = sqlite3.connect("journal.db")
        ...     def on_receive(self, statement):
        ...         return self.db.execute(statement).fetchall()

    Failure: a thread cannot be killed. A supervisor that gives up on one detaches it, reports its
    name in the log and in ``system.health()``, and goes on; the hook that hangs is the last that
    the actor runs.
    """

    __slots__ = ()
    _cell_class = BlockingCell
    _bounded_cell_class = BoundedBlockingCell

    use_daemon_thread: ClassVar[bool] = True
