"""The evidence: all that was seen in one demonstration, for the expectations and the summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from brama.actors import Health, StopReport, TreeNode
from brama.circuits import Event, Status
from brama.telemetry.testing import Span

from .callers import Caller
from .collector import Arrivals
from .handlers import Handlers
from .options import Options
from .script import Act

__all__ = ["Evidence", "counted", "roots"]


@attrs.frozen(kw_only=True)
class Evidence:
    """What was seen.

    Attributes:
        options: what was asked for.
        moments: when each step of the script was made, on the monotonic clock.
        statuses: of the circuits by name, after the last call.
        hits: requests that reached each upstream.
        callers: with their tallies.
        handlers: with what they received.
        tree, health: of the system, just before it was stopped.
        stop: how stopping went.
        faults: what ended a thread of the demonstration that should have gone on.
        arrivals: what became of the spans.
    """

    options: Options
    moments: Mapping[tuple[Act, str], float]
    statuses: Mapping[str, Status]
    hits: Mapping[str, int]
    callers: tuple[Caller, ...]
    handlers: Handlers
    tree: TreeNode
    health: Health
    stop: StopReport
    faults: tuple[str, ...]
    arrivals: Arrivals

    def transitions(self, name: str | None = None) -> list[Event]:
        """The changes of state of one circuit, or of all, in order."""
        events = self.handlers.journal.events
        return [event for event in events if name is None or event.connection == name]

    def restarts(self, subscriber: str) -> int:
        """How often the supervisor has restarted that subscriber's handler."""
        subscription = self.handlers.subscriptions[subscriber]
        node = self.tree.find("subscribers", subscription.id, "handler")
        return 0 if node is None else node.restarts

    def told_trace(self) -> list[Span]:
        """The trace that tells the most: the one in which the pager's line was cut."""
        failed = self.handlers.pager.failed
        if failed is None or failed.trace is None:
            return []
        trace_id = failed.trace.split("-")[1]
        return [span for span in self.arrivals.spans if span.trace_id == trace_id]


def roots(spans: tuple[Span, ...]) -> dict[str, Span]:
    """The root above each span, by the id of the span; itself when its parent never arrived."""
    by_id = {span.span_id: span for span in spans}

    def root(span: Span) -> Span:
        while span.parent_id is not None and span.parent_id in by_id:
            span = by_id[span.parent_id]
        return span

    return {span.span_id: root(span) for span in spans}


def counted(keys: Iterable[str]) -> dict[str, int]:
    """How often each key occurs, the most frequent first."""
    counts: dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
