"""A supervisor for children that come and go: by id in constant time, ended all at once."""

from __future__ import annotations

import trio

from brama.telemetry import ConfigError

from .cell import Cell
from .child import STOPPED, Child
from .children import ChildSpec
from .errors import ChildLimitError
from .exits import ExitReason, Killed, Shutdown
from .strategy import Backoff
from .supervisor import GRACE, Supervisor

__all__ = ["DynamicSupervisor"]


class DynamicSupervisor(Supervisor):
    """Starts children on demand and forgets those that have ended for good.

    Example:
        >>> pool = system.spawn(DynamicSupervisor, max_children=100)
        >>> worker = start_child(pool, ChildSpec("job 1", Worker,
        restart="temporary")).get(timeout=5)

    Options:
        intensity, period, backoff: as of `Supervisor`; the strategy is ``one_for_one``.
        max_children: None for no limit; a child that waits for its restart keeps its place.

    Order: none among children; told to end, it tells all of them at the same moment, and kills
    those that are left when their own deadlines have passed.

    Source: Elixir ``DynamicSupervisor``; unlike there, children have ids.
    """

    def __init__(
        self,
        *,
        intensity: int = 3,
        period: float = 5.0,
        backoff: Backoff | None = None,
        max_children: int | None = None,
    ) -> None:
        super().__init__(intensity=intensity, period=period, backoff=backoff)
        if max_children is not None and not max_children > 0:
            raise ConfigError("max_children", "a positive number, or None", max_children)
        self._max_children = max_children

    def _check_room(self, spec: ChildSpec) -> None:
        if self._max_children is not None and len(self._children) >= self._max_children:
            raise ChildLimitError(
                spec.id, f"was refused: {self} has max_children={self._max_children} already"
            )

    def _forgets(self, spec: ChildSpec) -> bool:
        return True

    async def _end_all(self) -> None:
        pending: dict[Cell, Child] = {}
        everybody_gone = trio.Event()
        host = self.actor_system

        def gone(cell: Cell) -> None:
            pending.pop(cell, None)
            if not pending:
                everybody_gone.set()

        def watcher(cell: Cell) -> object:
            def ended(_reason: ExitReason) -> None:
                if host.on_loop_thread():
                    gone(cell)
                else:
                    host.call_soon(gone, cell)

            return ended

        for child in self._children.values():
            cell, child.cell = child.cell, None
            child.status = STOPPED
            if cell is not None:
                pending[cell] = child
        for cell in list(pending):
            if not cell.watch(watcher(cell)):  # type: ignore[arg-type]  # called alike
                del pending[cell]
        for cell, child in list(pending.items()):
            if child.spec.shutdown > 0:
                cell.request_exit(Shutdown())
            else:
                cell.kill(Killed("brutal kill"))
        # One wait per distinct deadline, the shortest first.
        began = trio.current_time()
        for deadline in sorted({child.spec.shutdown for child in pending.values()}):
            if not pending:
                break
            with trio.move_on_at(began + deadline):
                await everybody_gone.wait()
            for cell, child in list(pending.items()):
                if child.spec.shutdown <= deadline:
                    cell.kill(Killed("did not end in time"))
                    if cell.busy_thread:
                        self._report_unstoppable(child.spec, cell)
        if pending:
            with trio.move_on_after(GRACE):
                await everybody_gone.wait()
        for cell, child in list(pending.items()):
            self._report_unstoppable(child.spec, cell)
        self._children.clear()
