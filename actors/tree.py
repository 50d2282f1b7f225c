"""The supervision tree as a frozen snapshot, and as text."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Sequence
from math import ceil
from time import perf_counter
from typing import Any, Literal

from attrs import evolve, frozen

from .cell import Cell
from .child import Child
from .host import Host
from .supervisor import Supervisor

__all__ = ["Budget", "TreeNode", "grow"]

# Nodes between two places where somebody else may have a turn: about a millisecond of work.
_SLICE = 100

# The width of a budget's bar.
_BAR = 5


@frozen
class Budget:
    """The restart intensity of a supervisor, and what of it is used up."""

    used: int
    """Restarts within the last `period` seconds. With quarantine, of the child with the most."""
    intensity: int
    """One restart more than this, and the supervisor gives up."""
    period: float
    """In seconds."""

    def __str__(self) -> str:
        share = min(1.0, self.used / self.intensity) if self.intensity else float(self.used > 0)
        full = ceil(share * _BAR)  # one restart shows, and a full bar is a full budget
        bar = "▰" * full + "▱" * (_BAR - full)
        return f"restarts {bar} {self.used} of {self.intensity} in {self.period:g} s"


@frozen
class TreeNode:
    """One actor in the supervision tree, or the system itself."""

    id: Hashable
    """The id of its child spec; the ref's text for an actor without a supervisor."""
    actor_class: str
    kind: Literal["async", "inline", "blocking", "system"]
    status: str
    """``new``, ``starting``, ``running``, ``restarting``, ``stopping``, ``stopped`` or
    ``quarantined``; ``idle`` at the root of a system that was not started."""
    restarts: int = 0
    mailbox: int = 0
    """Messages waiting."""
    peak: int = 0
    """The most that ever waited at the start of a batch."""
    last_exit: str | None = None
    """Why the incarnation before this one has ended, as `HostedActor.format_status` shows it."""
    children: tuple[TreeNode, ...] = ()
    uptime: float | None = None
    """Seconds that this incarnation lives; None for one that does not."""
    handled: int = 0
    """Messages that this incarnation was given."""
    strategy: str | None = None
    """Of a supervisor."""
    budget: Budget | None = None
    """Of a supervisor."""

    def _with_children(self, children: tuple[TreeNode, ...]) -> TreeNode:
        return evolve(self, children=children)

    def walk(self) -> Iterator[TreeNode]:
        """This node and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, *path: Hashable) -> TreeNode | None:
        """The node that the ids in ``path`` lead to from here."""
        node: TreeNode | None = self
        for step in path:
            node = next((one for one in node.children if one.id == step), None) if node else None
        return node

    def __str__(self) -> str:
        return "\n".join(_lines(self, "", ""))


# attrs has made it before the class had a name, so that nobody else would find out what it means.
TreeNode.__init__.__annotations__["children"] = tuple[TreeNode, ...]


def _lines(node: TreeNode, first: str, rest: str) -> Iterator[str]:
    notes = [node.actor_class, node.kind, node.status]
    if node.strategy not in (None, "one_for_one"):
        notes.append(str(node.strategy))
    if node.restarts:
        notes.append(f"restarts {node.restarts}")
    if node.mailbox:
        notes.append(f"mailbox {node.mailbox}")
    if node.status != "running" and node.last_exit:
        notes.append(node.last_exit)
    bar = f"  {node.budget}" if node.budget is not None and node.budget.used else ""
    yield f"{first}{node.id}  ({', '.join(notes)}){bar}"
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _lines(
            child, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   ")
        )


class _Pace:
    """Counts nodes, so that the work can be interrupted."""

    __slots__ = ("nodes",)

    def __init__(self) -> None:
        self.nodes = 0

    def pause(self) -> bool:
        self.nodes += 1
        return not self.nodes % _SLICE


def grow(
    root: Cell | None, top: TreeNode, spawned: Sequence[Cell]
) -> Generator[None, None, TreeNode]:
    """Build the snapshot in slices: yields between them, and returns the tree.

    Args:
        root: the root supervisor, if there is one.
        top: the node to show for it, without what is in it.
        spawned: actors that nobody supervises.

    Threads: any; nothing is stopped for it, and no hop is made.
    """
    pace = _Pace()
    if root is not None:
        top = yield from _node(root, top.id, top.restarts, None, pace)
    if not spawned:
        return top
    others: list[TreeNode] = []
    for cell in spawned:
        node = yield from _node(cell, str(cell.ref), 0, None, pace)
        others.append(node)
    group = TreeNode("(spawned)", "", "system", "running", children=tuple(others))
    return top._with_children((*top.children, group))


def _node(
    cell: Cell, id: Hashable, restarts: int, last_exit: str | None, pace: _Pace
) -> Generator[None, None, TreeNode]:
    if pace.pause():
        yield
    actor: Any = cell.actor
    children: list[TreeNode] = []
    strategy = budget = None
    if isinstance(actor, Supervisor):
        copy = actor._children.copy()
        strategy, budget = str(actor._strategy), _budget(cell.host, actor, copy)
        for child in copy:
            # Read once: the supervisor's own task may set it to None meanwhile.
            inner = child.cell
            if inner is None:
                children.append(_absent(child))
            else:
                below = _node(inner, child.spec.id, child.restarts, child.last_exit, pace)
                node = yield from below
                children.append(node)
    statistics = cell.statistics()
    return TreeNode(
        id=id,
        actor_class=cell.ref.actor_class.__name__ if cell.ref is not None else "?",
        kind=cell.kind,  # type: ignore[arg-type]  # a literal
        status=cell.state,
        restarts=restarts,
        mailbox=statistics.length,
        peak=statistics.peak,
        last_exit=last_exit,
        children=tuple(children),
        uptime=perf_counter() - cell.born if cell.born else None,
        handled=statistics.handled,
        strategy=strategy,
        budget=budget,
    )


def _absent(child: Child) -> TreeNode:
    return TreeNode(
        id=child.spec.id,
        actor_class=child.spec.start.__name__,
        kind=child.spec.start._cell_class.kind,  # type: ignore[arg-type]  # a literal
        status=child.status,
        restarts=child.restarts,
        last_exit=child.last_exit,
    )


def _budget(host: Host, supervisor: Supervisor, children: Sequence[Child]) -> Budget:
    intensity, now = supervisor._intensity, host.now()
    used = intensity.used(now)
    if supervisor._quarantine:
        each = (child.intensity for child in children)
        used = max((one.used(now) for one in each if one is not None), default=0)
    return Budget(used, intensity.intensity, intensity.period)
