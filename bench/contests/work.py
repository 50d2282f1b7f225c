"""The guarded work: a function that counts its calls, and loops around it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, repeat
from typing import Any

import brama
from bench.contest import agree

__all__ = ["Work", "looped", "settled"]


class Work:
    """What the guarded calls do: count themselves, for all contenders alike.

    Attributes:
        call: the work; a function, because some peers decorate nothing else.
    """

    def __init__(self) -> None:
        self._calls = count()
        calls = self._calls

        def call() -> int:
            return next(calls)

        async def acall() -> int:
            return next(calls)

        self.call = call
        self.acall = acall

    def done(self) -> int:
        """How often it was called; reading changes nothing."""
        return int(repr(self._calls)[6:-1])


def looped(call: Callable[[], Any]) -> Callable[[int], None]:
    """A round of `call`: the loop costs 5 ns of each time, for all contenders alike."""

    def run(times: int) -> None:
        for _ in repeat(None, times):
            call()

    return run


def settled(circuit: brama.Circuit, work: Work) -> Callable[[], int]:
    """How often the work was done, after the circuit has given the same number."""

    def done() -> int:
        status = circuit.status()
        assert status.in_flight == status.failures == status.refused == 0
        return agree(
            "a closed circuit", calls=status.calls, successes=status.successes, work=work.done()
        )

    return done
