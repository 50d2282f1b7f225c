"""Guarded calls through a closed circuit of a started system that nobody listens to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from itertools import repeat
from typing import Any

import brama
from bench.contest import Contender, Contest, Scale
from bench.peers import peer

from .work import Work, looped, settled

__all__ = ["CALLS"]

COUNTS = brama.CountWindow(size=100, rate=0.5, minimum=10)
TIMES = brama.TimeWindow(seconds=60, buckets=60, rate=0.5, minimum=10)


@contextmanager
def decorated(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        circuit, work = system.circuit("bench"), Work()
        contenders = [Contender("brama", looped(circuit(work.call)), settled(circuit, work))]
        if library := peer("circuitbreaker"):
            contenders.append(_guarded("circuitbreaker", library.CircuitBreaker(name="bench")))
        if library := peer("pybreaker"):
            contenders.append(_guarded("pybreaker", library.CircuitBreaker()))
        if library := peer("aiobreaker"):
            contenders.append(_guarded("aiobreaker", library.CircuitBreaker()))
        if library := peer("purgatory"):
            breaker = library.SyncCircuitBreakerFactory().get_breaker("bench")
            contenders.append(_entered("purgatory with", lambda: breaker))
        if library := peer("interlock"):
            contenders.append(_guarded("interlock", library.CircuitBreaker(name="bench")))
        work = Work()
        contenders.append(Contender("bare call", looped(work.call), work.done))
        yield contenders


def judged(**options: Any) -> Callable[[Scale], AbstractContextManager[list[Contender]]]:
    """A decorated call under a policy that has more to count than a row of failures."""

    @contextmanager
    def contest(_scale: Scale) -> Generator[list[Contender], None, None]:
        with brama.System() as system:
            circuit, work = system.circuit("bench", **options), Work()
            contenders = [Contender("brama", looped(circuit(work.call)), settled(circuit, work))]
            if library := peer("circuitbreaker"):
                contenders.append(_guarded("circuitbreaker", library.CircuitBreaker(name="bench")))
            if library := peer("interlock"):
                contenders.append(_guarded("interlock", library.CircuitBreaker(name="bench")))
            yield contenders

    return contest


@contextmanager
def with_guard(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        circuit, work = system.circuit("bench"), Work()
        ours = _entered("brama", circuit.guard, work)
        contenders = [Contender("brama", ours.run, settled(circuit, work))]
        if library := peer("circuitbreaker"):
            contenders.append(_guarded("circuitbreaker", library.CircuitBreaker(name="bench")))
        if library := peer("purgatory"):
            breaker = library.SyncCircuitBreakerFactory().get_breaker("bench")
            contenders.append(_entered("purgatory with", lambda: breaker))
        yield contenders


@contextmanager
def decorated_async(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system, asyncio.Runner() as runner:
        circuit, work = system.circuit("bench"), Work()
        guarded = circuit(work.acall)
        contenders = [Contender("brama", _awaited(runner, guarded), settled(circuit, work))]
        if library := peer("circuitbreaker"):
            breaker = library.CircuitBreaker(name="bench")
            contenders.append(_guarded_async(runner, "circuitbreaker", breaker))
        if library := peer("aiobreaker"):
            contenders.append(_guarded_async(runner, "aiobreaker", library.CircuitBreaker()))
        if library := peer("purgatory"):
            breakers = library.AsyncCircuitBreakerFactory()
            contenders.append(_guarded_async(runner, "purgatory", breakers("bench")))
        if library := peer("interlock"):
            breaker = library.CircuitBreaker(name="bench")
            contenders.append(_guarded_async(runner, "interlock", breaker))
        work = Work()
        contenders.append(Contender("bare await", _awaited(runner, work.acall), work.done))
        yield contenders


def _guarded(name: str, breaker: Any) -> Contender:
    """A peer's decorator."""
    work = Work()
    return Contender(name, looped(breaker(work.call)), work.done)


def _guarded_async(runner: asyncio.Runner, name: str, breaker: Any) -> Contender:
    work = Work()
    return Contender(name, _awaited(runner, breaker(work.acall)), work.done)


def _entered(name: str, guard: Callable[[], Any], work: Work | None = None) -> Contender:
    """A ``with`` block around the work; `guard` makes what it enters."""
    work = work or Work()
    call = work.call

    def run(times: int) -> None:
        for _ in repeat(None, times):
            with guard():
                call()

    return Contender(name, run, work.done)


def _awaited(runner: asyncio.Runner, call: Callable[[], Awaitable[Any]]) -> Callable[[int], None]:
    async def drive(times: int) -> None:
        for _ in repeat(None, times):
            await call()

    return lambda times: runner.run(drive(times))


CALLS = (
    Contest("sync", "a decorated call", decorated),
    Contest("count-window", "the same with a window of calls", judged(trip=COUNTS)),
    Contest("time-window", "the same with a window of time", judged(trip=TIMES)),
    Contest("slow-timing", "the same with slow calls timed", judged(slow_after=5.0)),
    Contest(
        "all-timed",
        "the same with a window of time and slow calls",
        judged(trip=TIMES, slow_after=5.0),
    ),
    Contest("guard", "a call in a with block; the peer's is decorated", with_guard),
    Contest("async", "a decorated coroutine function, on asyncio", decorated_async),
)
