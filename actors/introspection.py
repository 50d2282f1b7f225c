"""What a system looks like from outside, as frozen snapshots."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Literal

from attrs import evolve, frozen

from .cell import Cell
from .supervisor import Supervisor

__all__ = ["TreeNode", "snapshot"]


@frozen
class TreeNode:
    """One actor in the supervision tree, or the system itself."""

    id: Hashable
    """The id of its child spec; the ref's text for an actor without a supervisor."""
    actor_class: str
    kind: Literal["async", "inline", "blocking", "system"]
    status: str
    """``new``, ``starting``, ``running``, ``restarting``, ``stopping`` or ``stopped``."""
    restarts: int = 0
    mailbox: int = 0
    """Messages waiting."""
    peak: int = 0
    """The most that ever waited at the start of a batch."""
    last_exit: str | None = None
    children: tuple[TreeNode, ...] = ()

    def with_children(self, children: tuple[TreeNode, ...]) -> TreeNode:
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


def _lines(node: TreeNode, first: str, rest: str) -> Iterator[str]:
    notes = [node.actor_class, node.kind, node.status]
    if node.restarts:
        notes.append(f"restarts {node.restarts}")
    if node.mailbox:
        notes.append(f"mailbox {node.mailbox}")
    yield f"{first}{node.id}  ({', '.join(notes)})"
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _lines(
            child, rest + ("└── " if last else "├── "), rest + ("    " if last else "│   ")
        )


def snapshot(
    cell: Cell, node_id: Hashable, restarts: int = 0, last_exit: str | None = None
) -> TreeNode:
    """The node of a live cell and, for a supervisor, all below it. Any thread, no hop."""
    actor: Any = cell.actor
    children: tuple[TreeNode, ...] = ()
    if isinstance(actor, Supervisor):
        children = tuple(
            TreeNode(
                id=child.spec.id,
                actor_class=child.spec.start.__name__,
                kind=child.spec.start._cell_class.kind,  # type: ignore[arg-type]  # a literal
                status=child.status,
                restarts=child.restarts,
                last_exit=child.last_exit,
            )
            # Read once: its own task may set it to None meanwhile.
            if (inner := child.cell) is None
            else snapshot(inner, child.spec.id, child.restarts, child.last_exit)
            for child in actor._children.copy()
        )
    return TreeNode(
        id=node_id,
        actor_class=cell.ref.actor_class.__name__ if cell.ref is not None else "?",
        kind=cell.kind,  # type: ignore[arg-type]  # a literal
        status=cell.state,
        restarts=restarts,
        mailbox=cell.length,
        peak=cell.peak,
        last_exit=last_exit,
        children=children,
    )
