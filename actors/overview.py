"""What can be seen of a system from outside, at any moment and from any thread."""

from __future__ import annotations

import sys
from collections.abc import Generator, Hashable
from typing import Any, Literal

import trio

from .cell import Cell, cell_of
from .dead_letters import DeadLetters
from .engine import Engine
from .errors import SystemStoppedError
from .health import Faults, Health
from .introspection import ActorInfo, inspect_cell
from .lending import lender
from .names import Names
from .ref import ActorRef
from .scheduler import Scheduler
from .stalls import LoopLag, Stall
from .tree import TreeNode, grow
from .via import Via
from .whose import running_in

__all__ = ["Overview"]


class Overview:
    """The half of `ActorSystem` that only looks."""

    _name: str
    _names: Names
    _engine: Engine | None
    _stopped: bool
    _finished: bool
    _dead_letters: DeadLetters
    cells: dict[Cell, None]
    faults: Faults
    scheduler: Scheduler

    @property
    def name(self) -> str:
        """Of the system, and of its root supervisor."""
        return self._name

    @property
    def names(self) -> Names:
        """Its registry: who is found under which name."""
        return self._names

    @property
    def dead_letters(self) -> DeadLetters:
        """What reached nobody."""
        return self._dead_letters

    @property
    def running(self) -> bool:
        """Whether the loop runs and no stop is under way."""
        engine = self._engine
        return engine is not None and engine.attached.is_set() and not engine.stop_wanted.is_set()

    @property
    def deserted(self) -> bool:
        """Whether nobody is there to run an actor: not started, or at the very end of a stop."""
        engine = self._engine
        return engine is None or engine.closed

    @property
    def stopped(self) -> bool:
        """Whether it was stopped and not started again: nothing runs, whatever is asked of it."""
        return self._stopped and self._engine is None

    @property
    def finished(self) -> bool:
        """Whether the interpreter's exit has stopped it for good: mail is dropped and counted."""
        return self._finished

    @property
    def root(self) -> ActorRef[Any]:
        """The present root supervisor; ``names.via(system.name)`` is the address that outlives it.

        Raises:
            SystemStoppedError: there is none now.
        """
        engine = self._engine
        cell = engine.root if engine is not None else None
        if cell is None:
            raise SystemStoppedError(f"{self._name} has no tree now: it does not run, or restarts")
        return cell.ref  # type: ignore[no-any-return]  # of any kind

    def on_loop_thread(self) -> bool:
        """Whether the caller is on the thread that runs the actors, where nothing may block."""
        return self.scheduler.on_loop_thread()

    def awaits_caller(self) -> bool:
        """Whether its end waits for the caller.

        So it does for a thread of its loop, of a hook of its actors, or one that does the work of
        an actor that waits for it.
        """
        if self.on_loop_thread():
            return True
        if getattr(lender(), "host", None) is self:
            return True
        running = running_in(sys._getframe())
        return running is not None and getattr(running.cell, "host", None) is self

    def now(self) -> float:
        """The time by the clock of the loop, which may be a virtual one. From any thread."""
        return self.scheduler.now()

    def leftovers(self) -> tuple[str, ...]:
        """The threads and tasks that go on although they were killed."""
        return self.faults.leftovers()

    def tree(self) -> TreeNode:
        """The supervision tree, and below ``(spawned)`` the actors that nobody supervises.

        ``print(system.tree())`` draws it. From any thread; nothing is stopped for it. On the loop
        itself a tree of many thousand actors takes its time: see `atree`.
        """
        growing = self._growing()
        while True:
            try:
                next(growing)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # what the generator returns

    async def atree(self) -> TreeNode:
        """`tree`, with a checkpoint every hundred actors. For an `Actor`, on any trio loop."""
        growing = self._growing()
        while True:
            try:
                next(growing)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]  # what the generator returns
            await trio.lowlevel.checkpoint()

    def _growing(self) -> Generator[None, None, TreeNode]:
        engine = self._engine
        root = engine.root if engine is not None else None
        others = [cell for cell in tuple(self.cells) if cell.owner is None and cell is not root]
        status = "restarting" if self.running else self._at_rest()
        top = TreeNode(self._name, "Supervisor", "async", status, self.faults.losses)
        return grow(root, top, others)

    def inspect(
        self, target: ActorRef[Any] | Via | Hashable, *, stack: bool = False, state: bool = False
    ) -> ActorInfo:
        """Everything about one actor at this moment.

        Example:
            >>> print(system.inspect("prices", stack=True))

        Args:
            target: a ref, a ``names.via(…)``, or a name.
            stack: also where it is, if it is doing something.
            state: also its attributes, as text and by way of its `format_status`.

        Raises:
            NameNotFoundError: nobody holds the name.

        Threads: any; no hop, so also while the loop is held up by somebody.
        """
        if isinstance(target, ActorRef):
            cell = cell_of(target)
        else:
            via = target if isinstance(target, Via) else self._names.via(target)
            cell = cell_of(via.resolve())
        assert cell is not None
        return inspect_cell(cell, self.scheduler.thread, stack=stack, state=state)

    def actors(self) -> tuple[ActorInfo, ...]:
        """All live actors of the system, those with the longest mailboxes first. Any thread."""
        cells = [cell for cell in tuple(self.cells) if cell.ref is not None]
        infos = [
            inspect_cell(cell, self.scheduler.thread, stack=False, state=False) for cell in cells
        ]
        return tuple(sorted(infos, key=lambda info: -info.mailbox.length))

    def health(self) -> Health:
        """Whether it is well, and if not, why."""
        engine, faults = self._engine, self.faults
        reasons = faults.reasons()
        if engine is None:
            status: Literal["ok", "degraded", "idle", "stopped"] = self._at_rest()
        else:
            if engine.up.is_set() and engine.root is None and not engine.stop_wanted.is_set():
                reasons += ("the tree is down and waits for its restart",)
            status = "degraded" if reasons else "ok"
        return Health(
            status,
            reasons,
            self._dead_letters.count,
            faults.losses,
            faults.lasting,
            faults.unstoppable,
        )

    def _at_rest(self) -> Literal["idle", "stopped"]:
        return "stopped" if self._stopped else "idle"

    def lag(self) -> LoopLag:
        """How long the loop makes timers and I/O wait: now, recently, at worst."""
        return self.scheduler.watch.lag()

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """What has held the loop for longer than ``stall_threshold``: the latest, at most 32."""
        return self.scheduler.watch.stalls
