"""What a look at all circuits reads of each."""

from __future__ import annotations

from .state import State

__all__ = ["Vitals"]


class Vitals:
    """The first fields of a circuit's memory.

    Of a hundred thousand circuits hardly one is in the processor's cache, and each line that has to
    be fetched costs more than what is done with it: these share the first two. (Slots lie in the
    order of the classes, and by name within one.)

    Attributes:
        name: the connection.
        state: the last that it moved to; `Machine.state_at` says what the clock makes of it.
        reopen_at: while the circuit is open, when probes are admitted.
    """

    __slots__ = ("_failures", "_last_failure", "name", "reopen_at", "state")

    name: str
    state: State
    reopen_at: float
    _failures: int
    _last_failure: float | None
