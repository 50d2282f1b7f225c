"""What all spans of guarded calls have in common, ``call {pool}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from . import hook_names, names
from .faults import error_type
from .log_events import record_exception
from .pools import pool

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

__all__ = ["BAD", "Outcome", "attributes_of", "fail"]

Outcome = Literal["success", "failure", "ignored", "rejected"]

BAD: Final = ("failure", "rejected")
"""The outcomes that are errors of the caller."""


def attributes_of(
    connection: str,
    scope: str | None,
    state: str,
    *,
    generation: int | None = None,
    probe: bool | None = None,
    reason: str | None = None,
    outcome: Outcome | None = None,
) -> dict[str, AttributeValue]:
    """The attributes of such a span; what is not known is left out."""
    attributes: dict[str, AttributeValue] = {
        names.CIRCUIT_NAME: connection,
        names.POOL: pool(connection),
        names.STATE: str(state),
    }
    if generation is not None:
        attributes[names.GENERATION] = generation
    if probe is not None:
        attributes[names.PROBE] = probe
    if outcome is not None:
        attributes[names.OUTCOME] = outcome
    if scope is not None:
        attributes[names.CIRCUIT_SCOPE] = scope
    if reason is not None:
        attributes[names.REASON] = reason
    return attributes


def fail(span: Any, error: BaseException | None, reason: str | None, *, shown: bool = True) -> None:
    """The call was an error of its caller; `shown`: with the exception and its traceback."""
    from opentelemetry.trace import StatusCode, set_span_in_context

    span.set_status(StatusCode.ERROR, reason or (str(error) if error is not None else None))
    if error is None:
        span.set_attribute(names.ERROR_TYPE, "reported")
        return
    span.set_attribute(names.ERROR_TYPE, error_type(error))
    if shown and span.is_recording():
        record_exception(
            error,
            span,
            severity="warning",
            context=set_span_in_context(span),
            attributes={},
            occurrence=hook_names.CALL_FAILED,
            metadata={"reason": reason, "error_type": error_type(error)},
        )
