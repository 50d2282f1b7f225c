"""What goes wrong inside telemetry: counted, said once a minute, never raised into a call."""

from __future__ import annotations

import logging
import os
from typing import Final, cast

from .throttle import Throttle
from .ticks import Ticks

__all__ = ["LOGGER", "error_type", "errors", "report", "swallow", "unwrapped"]

LOGGER: Final = logging.getLogger("brama.telemetry")

_KINDS: Final = 50
"""Kinds of errors that are told apart: metrics have bounded attributes."""

_throttle = Throttle()
_listeners = Throttle()


def report(what: str, error: BaseException) -> None:
    """Say what became of a listener that raised; at most one line a minute, with the traceback."""
    _tell(_listeners, "%s hears no more (%d such reports before it were held back)", what, error)


def swallow(doing: str, error: Exception) -> None:
    """Report that `doing` failed; at most one line a minute, with the traceback."""
    text = "%s failed, and %d such faults before it went unreported; the service is unaffected"
    _tell(_throttle, text, doing, error)


def _tell(throttle: Throttle, text: str, what: str, error: BaseException) -> None:
    _count(error)
    held_back = throttle.admit()
    if held_back is not None:
        LOGGER.warning(text, what, held_back, exc_info=error)


# Invariant: grows by `setdefault` only and is read as a copy, so that no finalizer that fails here
# can meet itself.
_errors: dict[str, Ticks] = {}


def errors() -> dict[str, int]:
    """How often telemetry itself failed, by the kind of error."""
    return {kind: ticks.value for kind, ticks in _errors.copy().items()}


def _count(error: BaseException) -> None:
    kind = error_type(error)
    if kind not in _errors and len(_errors) >= _KINDS:
        kind = "other"
    _errors.setdefault(kind, Ticks()).add(1)


def _after_fork() -> None:
    _errors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def unwrapped(error: BaseException) -> BaseException:
    """The one member of a group that has no others, however deep; else `error` itself."""
    while issubclass(type(error), BaseExceptionGroup):  # an error may say of itself what it likes
        members = cast("BaseExceptionGroup[BaseException]", error).exceptions
        if len(members) != 1:
            break
        error = members[0]
    return error


def error_type(error: BaseException) -> str:
    """The value of `error.type`, the same on spans and metrics: the class's qualified name.

    A group with a single member counts as that member: trio's nurseries wrap what one task
    raised, and "ExceptionGroup" would hide it. Brama's own errors go by the name that users
    import: ``brama.CircuitOpenError``.
    """
    cls: type[BaseException] = type(unwrapped(error))
    module = cls.__module__
    if module == "builtins":
        return cls.__qualname__
    if module.startswith("brama."):
        module = "brama"
    return f"{module}.{cls.__qualname__}"
