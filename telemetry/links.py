"""Links: from a span to others that are not its parent, and what they are to it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from .context import span_context_of
from .foreign import Cause
from .names import LINK

if TYPE_CHECKING:
    from opentelemetry.trace import Link

__all__ = ["LIMIT", "links"]

_modules = sys.modules

LIMIT: Final = 32
"""Links of one span. The SDK keeps 128 and drops the rest, after they have been made."""


def links(causes: Iterable[Cause | None], relation: str, limit: int = LIMIT) -> list[Link]:
    """Links to the last `limit` of `causes`, each once; those that hold no span are left out.

    Each has the attribute `brama.link`, which says what it leads to. For those who have a tracer.
    """
    api = _modules["opentelemetry.trace"]  # a statement of import takes longer than what follows
    found: dict[tuple[int, int], Any] = {}
    for cause in causes:
        span = span_context_of(cause)
        if span is not None:
            found[span.trace_id, span.span_id] = span
    return [api.Link(span, {LINK: relation}) for span in list(found.values())[-limit:]]
