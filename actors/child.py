"""A child as its supervisor sees it: a spec, its present incarnation, and the news about it."""

from __future__ import annotations

from .cell import Cell, Signal
from .children import ChildSpec
from .exits import ExitReason

__all__ = ["Child", "Exited", "Retry"]

STARTING = "starting"
RUNNING = "running"
RESTARTING = "restarting"
STOPPING = "stopping"
STOPPED = "stopped"


class Child:
    """A spec and its present incarnation, if any. Only the supervisor touches it."""

    __slots__ = ("cell", "failures", "last_exit", "parent", "restarts", "since", "spec", "status")

    def __init__(self, spec: ChildSpec, parent: Cell) -> None:
        self.spec = spec
        self.parent = parent
        self.status = STOPPED
        # None: no incarnation whose exit matters. An exit of any other cell is stale and ignored.
        self.cell: Cell | None = None
        self.restarts = 0
        # Restarts in a row, for the back-off.
        self.failures = 0
        self.since = 0.0
        # Text, not the reason: an exception would keep its frames alive.
        self.last_exit: str | None = None

    def exited(self, cell: Cell, reason: ExitReason) -> None:
        """The owner's call at the end of a cell, on whatever thread that is."""
        self.parent.send_control(Exited(self, cell, reason))


class Exited(Signal):
    """A child has ended. In the control lane: a flood of requests must not delay a restart."""

    __slots__ = ("cell", "child", "reason")

    def __init__(self, child: Child, cell: Cell, reason: ExitReason) -> None:
        self.child = child
        self.cell = cell
        self.reason = reason


class Retry(Signal):
    """Try the restart (again). In the user lane: an order to shut down comes first."""

    __slots__ = ("child",)

    def __init__(self, child: Child) -> None:
        self.child = child
