"""A trace drawn as a tree, for a terminal, a failing test, or the documentation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from .received import Span

__all__ = ["render_tree"]


def render_tree(spans: Iterable[Span]) -> str:
    """Draw `spans` as trees by their parents, the earliest first.

    A span whose parent is not among them is a root, for it may never have been exported. Links
    are not followed; a span that has some to other traces says so.

    Example of what it returns::

        charge  INTERNAL  ERROR  12.0 ms
        └─ transition open  INTERNAL  0.2 ms
           └─ publish state_change  PRODUCER  0.1 ms
              ├─ process state_change  CONSUMER  1.4 ms
              └─ process state_change  CONSUMER  ERROR ValueError  0.3 ms
    """
    by_id = {span.span_id: span for span in spans}
    children: defaultdict[str | None, list[Span]] = defaultdict(list)
    for span in sorted(by_id.values(), key=lambda span: (span.start, span.span_id)):
        children[span.parent_id if span.parent_id in by_id else None].append(span)
    return "\n".join(line for root in children[None] for line in _lines(root, children, "", ""))


def _lines(
    span: Span, children: dict[str | None, list[Span]], first: str, rest: str
) -> Iterator[str]:
    yield first + _label(span)
    below = children.get(span.span_id, [])
    for child in below:
        last = child is below[-1]
        branch, trunk = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _lines(child, children, rest + branch, rest + trunk)


def _label(span: Span) -> str:
    parts = [span.name, span.kind]
    if span.status == "ERROR":
        parts.append(f"ERROR {span.attributes.get('error.type', '')}".rstrip())
    parts.append(f"{span.duration * 1000:.1f} ms")
    elsewhere = sum(link.trace_id != span.trace_id for link in span.links)
    if elsewhere:
        parts.append(f"+{elsewhere} linked trace{'s' if elsewhere > 1 else ''}")
    return "  ".join(parts)
