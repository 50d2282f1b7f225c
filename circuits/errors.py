"""What a circuit raises.

BramaError
├── ConfigError             a wrong option or name (also a ValueError)
├── CircuitOpenError        a call was refused
├── EventFormatError        what should be an event is none (also a ValueError)
├── UnknownConnectionError  no connection of that name is registered (also a LookupError)
└── UnknownGroupError       no group of that name is registered (also a LookupError)
"""

from __future__ import annotations

from math import inf
from typing import Any, cast

from brama.telemetry import BramaError

from .options import spelt
from .state import State

__all__ = [
    "CircuitOpenError",
    "EventFormatError",
    "UnknownConnectionError",
    "UnknownGroupError",
    "new_refusal",
]


SHOWN = 200
"""Characters of a wrong value that a text shows: it may be a whole message."""


class CircuitOpenError(BramaError):
    """A guarded call was refused: it was not made.

    Cheap to raise and made afresh for every refusal, so that no stored exception keeps a
    frame alive. Pickles.
    """

    # The values lie in `args`, where `BaseException.__new__` puts them by itself: filling them in
    # costs a third of what slots do, and the adapters can join this class with errors of other
    # libraries that have a layout of their own (those of requests are OSErrors).
    __slots__ = ()

    def __init__(
        self,
        connection: str,
        scope: str | None = None,
        state: State = State.OPEN,
        retry_after: float = 0.0,
        reason: str | None = None,
    ) -> None:
        # The text is made when somebody reads it: most refusals are caught, not shown.
        self.args = (connection, scope, state, retry_after, reason)

    @property
    def connection(self) -> str:
        """The name of the circuit."""
        return cast("str", self.args[0])

    @property
    def scope(self) -> str | None:
        """Its scope, or None."""
        return cast("str | None", self.args[1])

    @property
    def state(self) -> State:
        """The state that refused: open, forced_open or half_open (all probes are out, or this
        call may be none).
        """
        return cast("State", self.args[2])

    @property
    def retry_after(self) -> float:
        """Seconds until a call may be admitted again; an estimate in half-open."""
        return cast("float", self.args[3])

    @property
    def reason(self) -> str | None:
        """Why the circuit opened, or None."""
        return cast("str | None", self.args[4])

    def __str__(self) -> str:
        name = self.connection if self.scope is None else f"{self.connection} ({self.scope})"
        why = f" after: {self.reason}" if self.reason else ""
        if self.state is State.HALF_OPEN:
            wait = "a probe decides; wait for its outcome"
        elif self.retry_after == inf:
            wait = "and none is until somebody closes the circuit"
        else:
            wait = f"the next probe is admitted in {spelt(self.retry_after)}"
        return f"circuit {name} is {self.state}{why}; the call was not made, {wait}"


new_refusal = CircuitOpenError.__new__
"""Makes a refusal from the class and its five values, without the step through Python's
``__init__``: for the guarded path."""


class EventFormatError(BramaError, ValueError):
    """What was to be read as an event is none.

    Attributes:
        field: the field that is missing or wrong; empty if the whole is.
        expected: what it should be.
        got: what it is.
        code: ``missing_field``, ``invalid_field`` or ``unsupported_schema_version``.
    """

    def __init__(self, field: str, expected: str, got: Any, code: str = "invalid_field") -> None:
        super().__init__(field, expected, got, code)
        self.field = field
        self.expected = expected
        self.got = got
        self.code = code

    def __str__(self) -> str:
        if self.code == "missing_field":
            return f"an event must have the field {self.field!r}: {self.expected}"
        name = f"the field {self.field!r} of an event" if self.field else "an event"
        got = repr(self.got)
        shown = got if len(got) <= SHOWN else f"{got[:SHOWN]}… ({len(got)} characters)"
        return f"{name} must be {self.expected}, got: {shown}"


class UnknownConnectionError(BramaError, LookupError):
    """No connection of that name and scope is registered.

    Attributes:
        connection: the name that was asked for.
        scope: the scope that was asked for, or None.
    """

    def __init__(self, connection: str, scope: str | None = None) -> None:
        super().__init__(connection, scope)
        self.connection = connection
        self.scope = scope

    def __str__(self) -> str:
        where = "" if self.scope is None else f" in scope {self.scope!r}"
        return (
            f"no connection {self.connection!r} is registered{where}; "
            f"register it first: brama.circuit({_call(self.connection, self.scope)})"
        )


class UnknownGroupError(BramaError, LookupError):
    """No group of that name and scope is registered.

    Attributes:
        group: the name that was asked for.
        scope: the scope that was asked for, or None.
    """

    def __init__(self, group: str, scope: str | None = None) -> None:
        super().__init__(group, scope)
        self.group = group
        self.scope = scope

    def __str__(self) -> str:
        where = "" if self.scope is None else f" in scope {self.scope!r}"
        return (
            f"no group {self.group!r} is registered{where}; "
            f"register it first: brama.register_group({self.group!r}, [...])"
        )


def _call(connection: str, scope: str | None) -> str:
    arguments: list[Any] = [repr(connection)]
    if scope is not None:
        arguments.append(f"scope={scope!r}")
    return ", ".join(arguments)
