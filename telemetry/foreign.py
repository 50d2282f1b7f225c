"""The types of OpenTelemetry that annotations name, without an import of OpenTelemetry.

Until somebody traces there is nothing to load, and importing Brama does not pay for it. Type
checkers see the types themselves; at run time each name is `Any`, so that `typing.get_type_hints`
finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext
    from opentelemetry.util.types import AttributeValue
else:
    AttributeValue = Context = Span = SpanContext = Any

__all__ = [
    "AttributeValue",
    "Cause",
    "Context",
    "Span",
    "SpanContext",
]

Cause: TypeAlias = Context | SpanContext | str
"""Whatever leads to a span: a context that holds it, itself, or its `traceparent`."""
