"""A child as its supervisor sees it, and all of them in one table."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from .cell import Cell, Signal
from .children import ChildInfo, ChildSpec
from .exits import ExitReason
from .intensity import Intensity

__all__ = [
    "QUARANTINED",
    "RESTARTING",
    "RUNNING",
    "STARTING",
    "STOPPED",
    "STOPPING",
    "Child",
    "Children",
    "Exited",
    "Resume",
    "Retry",
]

STARTING = "starting"
RUNNING = "running"
RESTARTING = "restarting"
STOPPING = "stopping"
STOPPED = "stopped"
QUARANTINED = "quarantined"


class Child:
    """A spec and its present incarnation, if any. Only the supervisor touches it.

    Slots: a dynamic supervisor may have a hundred thousand.
    """

    __slots__ = (
        "cell",
        "ended",
        "failures",
        "intensity",
        "last_exit",
        "parent",
        "reason",
        "restarts",
        "since",
        "spec",
        "status",
    )

    def __init__(self, spec: ChildSpec, parent: Cell) -> None:
        self.spec = spec
        self.parent = parent
        self.status = STOPPED
        # None: no incarnation whose exit matters. An exit of any other cell is stale and ignored.
        self.cell: Cell | None = None
        self.restarts = 0
        # Restarts in a row, for the back-off.
        self.failures = 0
        # Its own, for supervisors that quarantine; elsewhere they have one for all children.
        self.intensity: Intensity | None = None
        # When the present incarnation came up and the last one ended, in the time of the loop.
        self.since = self.ended = 0.0
        # Why the present incarnation has ended, from its end until the supervisor has read of it.
        self.reason: ExitReason | None = None
        # Text, not the reason: an exception would keep its frames alive.
        self.last_exit: str | None = None

    def __call__(self, cell: Cell, reason: ExitReason) -> None:
        """The owner's call at the end of a cell, on whatever thread that is.

        The child is the callable, because a bound method would be one more object for each.
        """
        if self.cell is cell:
            self.reason = reason
        self.parent.send_control(Exited(self, cell, reason))

    @property
    def info(self) -> ChildInfo:
        cell, spec = self.cell, self.spec
        return ChildInfo(
            id=spec.id,
            ref=cell.ref if cell is not None else None,
            status=self.status,
            type=spec.type,
            actor_class=spec.start,
            restarts=self.restarts,
        )


class Children:
    """The children of one supervisor: in start order, and by id in constant time.

    Invariant: only the supervisor's own task writes; `copy` may be called from any thread.
    """

    __slots__ = ("_table",)

    def __init__(self) -> None:
        self._table: dict[Hashable, Child] = {}

    def __len__(self) -> int:
        return len(self._table)

    def __iter__(self) -> Iterator[Child]:
        return iter(self._table.values())

    def __getitem__(self, id: Hashable) -> Child:
        return self._table[id]

    def __contains__(self, child: Child) -> bool:
        return self._table.get(child.spec.id) is child

    def get(self, id: Hashable) -> Child | None:
        return self._table.get(id)

    def add(self, child: Child) -> Child:
        self._table[child.spec.id] = child
        return child

    def drop(self, child: Child) -> None:
        if child in self:
            del self._table[child.spec.id]

    def copy(self) -> list[Child]:
        """All at this moment. From any thread."""
        while True:
            try:
                return list(self._table.values())
            except RuntimeError:  # changed while it was copied; only possible without the GIL
                continue


class Exited(Signal):
    """A child has ended. In the control lane: a flood of requests must not delay a restart."""

    __slots__ = ("cell", "child", "reason")

    def __init__(self, child: Child, cell: Cell, reason: ExitReason) -> None:
        self.child = child
        self.cell = cell
        self.reason = reason


class Retry(Signal):
    """A restart has failed: try again. In the user lane, so that an order to end comes first."""

    __slots__ = ("child",)

    def __init__(self, child: Child) -> None:
        self.child = child


class Resume(Signal):
    """The wait before a restart is over. By a timer, in the user lane as well.

    `cause`: what `Reports.restarted` is to tell of why.
    """

    __slots__ = ("cause", "child")

    def __init__(self, child: Child, cause: tuple[str | None, Any]) -> None:
        self.child = child
        self.cause = cause
