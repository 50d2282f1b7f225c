"""The guarded work: a function that counts its calls, and loops around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count, repeat
from typing import Any

import brama
from bench.contest import agree

__all__ = ["Work", "awaited", "caught", "entered", "looped", "settled"]


class Work:
    """What the guarded calls do: count themselves, for all contenders alike.

    Attributes:
        call: the work; a function, because some peers decorate nothing else.
        fail: the same, and then it fails.
    """

    def __init__(self) -> None:
        self._calls = count()
        calls = self._calls

        def call() -> int:
            return next(calls)

        async def acall() -> int:
            return next(calls)

        def fail() -> int:
            next(calls)
            raise ConnectionError

        self.call = call
        self.acall = acall
        self.fail = fail

    def done(self) -> int:
        """How often it was called; reading changes nothing."""
        return int(repr(self._calls)[6:-1])


def looped(call: Callable[[], Any]) -> Callable[[int], None]:
    """A round of `call`: the loop costs 5 ns of each time, for all contenders alike."""

    def run(times: int) -> None:
        for _ in repeat(None, times):
            call()

    return run


def entered(guard: Callable[[], Any], call: Callable[[], Any]) -> Callable[[int], None]:
    """A round of ``with`` blocks around `call`; `guard` makes what is entered."""

    def run(times: int) -> None:
        for _ in repeat(None, times):
            with guard():
                call()

    return run


def awaited(runner: asyncio.Runner, call: Callable[[], Awaitable[Any]]) -> Callable[[int], None]:
    """A round of awaited calls, on asyncio."""

    async def drive(times: int) -> None:
        for _ in repeat(None, times):
            await call()

    return lambda times: runner.run(drive(times))


def caught(
    call: Callable[[], Any], error: type[Exception]
) -> tuple[Callable[[int], None], Callable[[], int]]:
    """A round of calls that raise `error`, and how many did so far."""
    total = 0

    def run(times: int) -> None:
        nonlocal total
        seen = 0
        for _ in repeat(None, times):
            try:
                call()
            except error:
                seen += 1
        total += seen

    return run, lambda: total


def settled(circuit: brama.Circuit, work: Work) -> Callable[[], int]:
    """How often the work was done, after the circuit has given the same number."""

    def done() -> int:
        status = circuit.status()
        assert status.in_flight == status.failures == status.refused == 0
        return agree(
            "a closed circuit", calls=status.calls, successes=status.successes, work=work.done()
        )

    return done
