"""Calls that an open circuit refuses."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import brama
from bench.contest import Contender, Contest, Scale, WorkNotDone, agree
from bench.peers import peer

from .work import Work, looped

__all__ = ["REFUSALS"]

FOREVER = 1e6


@contextmanager
def asked(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        circuit = _open(system)
        yield [Contender("brama", looped(circuit.try_acquire), lambda: circuit.status().refused)]


@contextmanager
def raised(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        circuit, work = _open(system), Work()
        run, seen = _caught(circuit(work.call), brama.CircuitOpenError)

        def done() -> int:
            _untouched(work)
            return agree("a refusal", counted=circuit.status().refused, raised=seen())

        contenders = [Contender("brama", run, done)]
        if library := peer("circuitbreaker"):
            breaker = library.CircuitBreaker(
                name="bench", failure_threshold=1, recovery_timeout=FOREVER
            )
            contenders.append(_refusing("circuitbreaker", breaker, library.CircuitBreakerError))
        if library := peer("pybreaker"):
            breaker = library.CircuitBreaker(fail_max=1, reset_timeout=FOREVER)
            contenders.append(_refusing("pybreaker", breaker, library.CircuitBreakerError))
        yield contenders


def _open(system: brama.System) -> brama.Circuit:
    circuit = system.circuit("bench")
    circuit.open_circuit(expires_in=FOREVER)
    return circuit


def _refusing(name: str, breaker: Any, refusal: type[Exception]) -> Contender:
    """A peer that one failing call has opened."""

    def fail() -> None:
        raise OSError

    try:
        breaker(fail)()
    except (OSError, refusal):
        pass
    work = Work()
    run, seen = _caught(breaker(work.call), refusal)

    def done() -> int:
        _untouched(work)
        return seen()

    return Contender(name, run, done)


def _caught(
    call: Callable[[], Any], refusal: type[Exception]
) -> tuple[Callable[[int], None], Callable[[], int]]:
    """A round of refused calls, and how many were refused so far."""
    total = 0

    def run(times: int) -> None:
        nonlocal total
        refused = 0
        for _ in repeat(None, times):
            try:
                call()
            except refusal:
                refused += 1
        total += refused

    return run, lambda: total


def _untouched(work: Work) -> None:
    if work.done():
        raise WorkNotDone(f"an open circuit let {work.done()} calls through")


REFUSALS = (
    Contest("refusal", "try_acquire() on an open circuit", asked),
    Contest("refusal-raised", "a decorated call that is refused", raised),
)
