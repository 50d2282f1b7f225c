"""What every supervisor does on request: has children, starts them, ends them, tells about them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, ClassVar

from .actor import Actor
from .cell import Cell
from .child import QUARANTINED, RESTARTING, RUNNING, STOPPED, STOPPING, Child, Children
from .children import ChildInfo, ChildSpec, check_children
from .ending import Ending, end_together
from .errors import (
    ActorStartError,
    ChildExistsError,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
)
from .exits import Killed
from .incarnation import StartTimeoutError, incarnate
from .ref import ActorRef
from .reports import Reports
from .status import reason_text
from .strategy import Restart
from .supervise import (
    ChildCounts,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)

__all__ = ["Parent"]


class Parent(Actor):
    """The half of a supervisor that does as it is told; derive from `Supervisor`.

    What happens when a child ends by itself is the other half.
    """

    supervises: ClassVar[bool] = True
    trap_exit = True
    # A request to a supervisor starts actors, and those are nobody's continuation.
    carries_context = False

    def __init__(self, children: Iterable[ChildSpec | type[Any]], strategy: str) -> None:
        super().__init__()
        self._specs = check_children("children", children)
        for spec in self._specs:
            self._check_spec(spec)
        self._children = Children()
        self._reports = Reports(str(self), strategy)

    # -- life
    # -----------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the children. A subclass that overrides it calls ``await super().on_start()``."""
        specs, self._specs = self._specs, ()
        for spec in specs:
            child = self._children.add(Child(spec, self._cell))
            try:
                await self._start(child)
            except ActorStartError:
                await self._end_all()
                raise

    async def on_stop(self) -> None:
        """End the children. A subclass that overrides it calls ``await super().on_stop()``."""
        await self._end_all()

    def _on_exited(self) -> None:
        # Killed, or crashed in a hook: children must not outlive their supervisor, whatever
        # happened to it.
        for child in reversed(self._children.copy()):
            cell, child.cell = child.cell, None
            if child.status is QUARANTINED:
                self.actor_system.faults.forget(child)
            child.status = STOPPED
            if cell is not None:
                cell.owner = None
                cell.kill(Killed("its supervisor ended"))

    # -- requests
    # -------------------------------------------------------------------------------------

    async def _on_start_child(self, request: StartChild) -> Any:
        spec = request.spec
        present = self._children.get(spec.id)
        if present is not None:
            raise ChildExistsError(
                spec.id,
                "exists already and is stopped: use restart_child or delete_child"
                if present.status is STOPPED
                else "exists already",
            )
        self._check_spec(spec)
        self._check_room(spec)
        child = self._children.add(Child(spec, self._cell))
        try:
            return await self._start(child)
        except ActorStartError:
            # Nothing wider: cancelled, the child must still be found and taken down.
            self._children.drop(child)
            raise

    async def _on_terminate_child(self, request: TerminateChild) -> None:
        child = self._find(request.id)
        await self._end([child])
        if self._forgets(child.spec):
            self._children.drop(child)

    async def _on_restart_child(self, request: RestartChild) -> Any:
        child = self._find(request.id)
        self._check_down(child)
        return await self._start(child)

    async def _on_delete_child(self, request: DeleteChild) -> None:
        child = self._find(request.id)
        self._check_down(child)
        self._children.drop(child)

    async def _on_get_childspec(self, request: GetChildSpec) -> ChildSpec:
        return self._find(request.id).spec

    async def _on_which_children(self, _request: WhichChildren) -> tuple[ChildInfo, ...]:
        return tuple(child.info for child in self._children)

    async def _on_count_children(self, _request: CountChildren) -> ChildCounts:
        supervisors = sum(1 for child in self._children if child.spec.start.supervises)
        return ChildCounts(
            specs=len(self._children),
            active=sum(1 for child in self._children if child.status is RUNNING),
            supervisors=supervisors,
            workers=len(self._children) - supervisors,
        )

    def _find(self, id: Hashable) -> Child:
        child = self._children.get(id)
        if child is None and isinstance(id, ActorRef):
            # Who answers for a child is its line in our table, as long as it lives.
            owner = getattr(id.actor_inbox, "owner", None)
            if isinstance(owner, Child) and owner in self._children:
                child = owner
        if child is None:
            raise ChildNotFoundError(id, f"does not exist in {self}")
        return child

    def _check_down(self, child: Child) -> None:
        """Raise unless the child is stopped; of a quarantined one this ends the quarantine."""
        if child.status is QUARANTINED:
            self._release(child)
        if child.status is RESTARTING:
            raise ChildRestartingError(child.spec.id, "waits for its restart: terminate it first")
        if child.status is not STOPPED:
            raise ChildRunningError(child.spec.id, "is running: terminate it first")

    def _release(self, child: Child) -> None:
        child.status = STOPPED
        child.failures = 0
        child.intensity = None
        self.actor_system.faults.forget(child)

    # -- what kinds of supervisors differ in
    # ---------------------------------------------------------

    def _check_spec(self, spec: ChildSpec) -> None:
        """Refuse a spec that is none for this supervisor, by raising."""

    def _check_room(self, spec: ChildSpec) -> None:
        """Refuse a further child, by raising."""

    def _check_actor(self, spec: ChildSpec, actor: Any) -> None:
        """Look at a child that has come up."""

    def _arguments(self, spec: ChildSpec) -> tuple[Any, ...]:
        """The positional arguments of a child's constructor."""
        return spec.args

    def _forgets(self, spec: ChildSpec) -> bool:
        """Whether the spec goes when its child has ended or did not want to start."""
        return spec.restart is Restart.TEMPORARY

    # -- starting and ending
    # ----------------------------------------------------------------------------

    async def _start(self, child: Child) -> Any:
        """Start an incarnation; returns its ref, None if it did not want to start.

        Raises `ActorStartError`; the child is stopped then.
        """
        spec = child.spec
        try:
            ref = await incarnate(self.actor_system, child, self._arguments(spec))
        except StartTimeoutError as error:
            self._note(child, error.cell, error.ending)
            raise
        if ref is None:
            if self._forgets(spec):
                self._children.drop(child)
        elif child.cell is not None:
            self._check_actor(spec, child.cell.actor)
        return ref

    async def _end_all(self) -> None:
        for child in reversed(list(self._children)):
            await self._end([child])

    async def _end(self, children: Iterable[Child]) -> None:
        """End them at the same moment, each within its deadline."""
        running: dict[Cell, Child] = {}
        for child in children:
            if child.status is RESTARTING:
                self.cancel_timer(child)
            elif child.status is QUARANTINED:
                self._release(child)
            if child.cell is None:
                child.status = STOPPED
            else:
                child.status = STOPPING
                running[child.cell] = child
        if not running:
            return
        # Their cells stay in place meanwhile: cancelled here, `_on_exited` must find them.
        endings = await end_together(
            self.actor_system, {cell: child.spec.shutdown for cell, child in running.items()}
        )
        for cell, child in running.items():
            self._note(child, cell, endings[cell])
            child.cell = None  # the exit that is in our mailbox by now is stale
            child.status = STOPPED

    def _note(self, child: Child, cell: Cell, ending: Ending) -> None:
        """Write down and report how a child has ended."""
        if ending.reason is None and child.reason is not None:
            # It had ended by itself, and we had not read of it yet.
            ending = Ending(child.reason)
        child.reason = None
        child.ended = self.actor_system.now()
        if ending.reason is not None:
            child.last_exit = reason_text(child.spec.start, ending.reason)
        if not cell.by_stop or ending.late:
            self._reports.ended(child.spec, ending, child.last_exit or "")
        if ending.leftover is not None:
            self.actor_system.faults.left_behind(cell, ending.leftover)
