"""Calls that an open circuit refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import brama
from bench.contest import Contender, Contest, Scale, WorkNotDone, agree
from bench.peers import FOREVER, Breakers, installed

from .work import Work, caught, looped

__all__ = ["REFUSALS"]


@contextmanager
def asked(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        circuit = _open(system)
        yield [Contender("brama", looped(circuit.try_acquire), lambda: circuit.status().refused)]


@contextmanager
def raised(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        circuit, work = _open(system), Work()
        run, seen = caught(circuit(work.call), brama.CircuitOpenError)
        contenders = [Contender("brama", run, _refused(work, seen, circuit))]
        for one, library in installed():
            breaker, theirs, refusal = one.fragile(library), Work(), one.refusal(library)
            _trip(breaker, refusal)
            run, seen = caught(breaker.decorate(theirs.call), refusal)
            contenders.append(Contender(one.name, run, _refused(theirs, seen)))
        yield contenders


@contextmanager
def raised_async(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system, asyncio.Runner() as runner:
        circuit, work = _open(system), Work()
        run, seen = _acaught(runner, circuit(work.acall), brama.CircuitOpenError)
        contenders = [Contender("brama", run, _refused(work, seen, circuit))]
        for one, library in installed():
            breaker, theirs, refusal = one.fragile(library), Work(), one.refusal(library)
            if breaker.decorate_async is None:
                continue
            _trip_async(runner, breaker, refusal)
            run, seen = _acaught(runner, breaker.decorate_async(theirs.acall), refusal)
            contenders.append(Contender(one.name, run, _refused(theirs, seen)))
        yield contenders


def _open(system: brama.System) -> brama.Circuit:
    circuit = system.circuit("bench")
    circuit.open_circuit(expires_in=FOREVER)
    return circuit


def _trip(breaker: Breakers, refusal: type[Exception]) -> None:
    def fail() -> None:
        raise OSError

    try:
        breaker.decorate(fail)()
    except (OSError, refusal):
        pass


def _trip_async(runner: asyncio.Runner, breaker: Breakers, refusal: type[Exception]) -> None:
    async def fail() -> None:
        raise OSError

    async def drive() -> None:
        assert breaker.decorate_async is not None
        try:
            await breaker.decorate_async(fail)()
        except (OSError, refusal):
            pass

    runner.run(drive())


def _refused(
    work: Work, seen: Callable[[], int], circuit: brama.Circuit | None = None
) -> Callable[[], int]:
    """How many were refused, after none came through."""

    def done() -> int:
        if work.done():
            raise WorkNotDone(f"an open circuit let {work.done()} calls through")
        if circuit is None:
            return seen()
        return agree("a refusal", counted=circuit.status().refused, raised=seen())

    return done


def _acaught(
    runner: asyncio.Runner, call: Callable[[], Any], refusal: type[Exception]
) -> tuple[Callable[[int], None], Callable[[], int]]:
    total = 0

    async def drive(times: int) -> int:
        refused = 0
        for _ in repeat(None, times):
            try:
                await call()
            except refusal:
                refused += 1
        return refused

    def run(times: int) -> None:
        nonlocal total
        total += runner.run(drive(times))

    return run, lambda: total


REFUSALS = (
    Contest("refusal", "try_acquire() on an open circuit", asked),
    Contest("refusal-raised", "a decorated call that is refused", raised),
    Contest("refusal-async", "a decorated coroutine function that is refused", raised_async),
)
