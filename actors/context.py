"""The sender's context variables, carried by a message and laid over the receiver's own.

An actor's hooks run in a context of the actor's own: empty when it starts, kept from one message to
the next, seen by nobody else. While a message with its sender's context is handled, the sender's
variables, OpenTelemetry's current span among them, have the values that they had when it was sent.
Afterwards the actor's own are back. Both happen in one frame, so what is laid is always lifted.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, Token, copy_context
from typing import Any

from brama.telemetry import capture

from .mailbox import Carried

__all__ = ["Laid", "bring", "captured", "lay", "lift"]

Laid = list[tuple[ContextVar[Any], Token[Any]]]

_ABSENT = object()


def captured() -> Context | None:
    """A copy of the caller's context; None when nobody is tracing."""
    return None if capture() is None else copy_context()


def bring(message: Any) -> Any:
    """The message with the caller's context; as it is when nobody is tracing."""
    context = captured()
    return message if context is None else Carried(message, context)


def lay(context: Context) -> Laid:
    """Give the variables of ``context`` their values in the current one, until `lift`."""
    return [
        (variable, variable.set(value))
        for variable, value in context.items()
        if variable.get(_ABSENT) is not value
    ]


def lift(laid: Laid) -> None:
    """Undo `lay`, in the same context."""
    for variable, token in reversed(laid):
        try:
            variable.reset(token)
        except ValueError:
            pass  # a coroutine that the collector closes, in whatever context that runs
