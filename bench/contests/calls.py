"""Guarded calls through a closed circuit of a started system that nobody listens to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from itertools import repeat
from typing import Any

import brama
from bench.contest import Contender, Contest, Scale, agree
from bench.peers import NEVER, Breakers, installed

from .work import Work, awaited, caught, entered, looped, settled

__all__ = ["CALLS"]

COUNTS = brama.CountWindow(size=100, rate=0.5, minimum=10)
TIMES = brama.TimeWindow(seconds=60, buckets=60, rate=0.5, minimum=10)

Make = Callable[[Scale], AbstractContextManager[list[Contender]]]


def _peers(form: Callable[[Breakers, Work], Callable[[int], None] | None]) -> list[Contender]:
    """A contender of each peer that has the form."""
    contenders = []
    for one, library in installed():
        work = Work()
        run = form(one.default(library), work)
        if run is not None:
            contenders.append(Contender(one.name, run, work.done))
    return contenders


def _bare() -> Contender:
    work = Work()
    return Contender("bare call", looped(work.call), work.done)


@contextmanager
def decorated(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        circuit, work = system.circuit("bench"), Work()
        yield [
            Contender("brama", looped(circuit(work.call)), settled(circuit, work)),
            *_peers(lambda breaker, work: looped(breaker.decorate(work.call))),
            _bare(),
        ]


@contextmanager
def through_call(_scale: Scale) -> Generator[list[Contender], None, None]:
    """The function is handed over with each call; who decorates has the wrapper already."""
    with brama.System() as system:
        circuit, work = system.circuit("bench"), Work()
        call = circuit.call

        def handed(breaker: Breakers, work: Work) -> Callable[[int], None] | None:
            return None if breaker.call is None else _handed(breaker.call, work.call)

        yield [
            Contender("brama", _handed(call, work.call), settled(circuit, work)),
            *_peers(handed),
        ]


def _handed(call: Callable[[Any], Any], function: Callable[[], Any]) -> Callable[[int], None]:
    def run(times: int) -> None:
        for _ in repeat(None, times):
            call(function)

    return run


def judged(**options: Any) -> Make:
    """A decorated call under a policy that has more to count than a row of failures."""

    @contextmanager
    def contest(_scale: Scale) -> Generator[list[Contender], None, None]:
        with brama.System() as system:
            circuit, work = system.circuit("bench", **options), Work()
            contenders = _peers(lambda breaker, work: looped(breaker.decorate(work.call)))
            yield [
                Contender("brama", looped(circuit(work.call)), settled(circuit, work)),
                *(one for one in contenders if one.name in ("circuitbreaker", "interlock")),
            ]

    return contest


@contextmanager
def with_guard(_scale: Scale) -> Generator[list[Contender], None, None]:
    """Beside the peers' blocks stands circuitbreaker's decorator, which the budget names.

    circuitbreaker's own block does not refuse: it counts only.
    """
    with brama.System() as system:
        circuit, work = system.circuit("bench"), Work()
        contenders = [Contender("brama", entered(circuit.guard, work.call), settled(circuit, work))]

        def block(breaker: Breakers, work: Work) -> Callable[[int], None] | None:
            return None if breaker.enter is None else entered(breaker.enter, work.call)

        decorators = _peers(lambda breaker, work: looped(breaker.decorate(work.call)))
        contenders += (
            Contender(f"{one.name} decorated", one.run, one.done)
            for one in decorators
            if one.name == "circuitbreaker"
        )
        yield [*contenders, *_peers(block)]


@contextmanager
def decorated_async(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system, asyncio.Runner() as runner:
        circuit, work = system.circuit("bench"), Work()

        def coroutine(breaker: Breakers, work: Work) -> Callable[[int], None] | None:
            decorate = breaker.decorate_async
            return None if decorate is None else awaited(runner, decorate(work.acall))

        contenders = [
            Contender("brama", awaited(runner, circuit(work.acall)), settled(circuit, work)),
            *_peers(coroutine),
        ]
        work = Work()
        contenders.append(Contender("bare await", awaited(runner, work.acall), work.done))
        yield contenders


@contextmanager
def async_with(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system, asyncio.Runner() as runner:
        circuit, work = system.circuit("bench"), Work()

        def block(breaker: Breakers, work: Work) -> Callable[[int], None] | None:
            if breaker.aenter is None:
                return None
            return _aentered(runner, breaker.aenter, work.acall)

        yield [
            Contender(
                "brama", _aentered(runner, circuit.guard, work.acall), settled(circuit, work)
            ),
            *_peers(block),
        ]


def _aentered(
    runner: asyncio.Runner, guard: Callable[[], Any], call: Callable[[], Any]
) -> Callable[[int], None]:
    async def drive(times: int) -> None:
        for _ in repeat(None, times):
            async with guard():
                await call()

    return lambda times: runner.run(drive(times))


@contextmanager
def failing(_scale: Scale) -> Generator[list[Contender], None, None]:
    """Calls that fail, none of which opens the circuit."""
    with brama.System() as system:
        circuit, work = system.circuit("bench", failure_threshold=NEVER), Work()
        run, seen = caught(circuit(work.fail), ConnectionError)
        contenders = [Contender("brama", run, _failed(work, seen, circuit))]
        for one, library in installed():
            theirs = Work()
            run, seen = caught(one.lasting(library).decorate(theirs.fail), ConnectionError)
            contenders.append(Contender(one.name, run, _failed(theirs, seen)))
        bare = Work()
        run, seen = caught(bare.fail, ConnectionError)
        contenders.append(Contender("bare call", run, _failed(bare, seen)))
        yield contenders


def _failed(
    work: Work, seen: Callable[[], int], circuit: brama.Circuit | None = None
) -> Callable[[], int]:
    def done() -> int:
        counts = {"work": work.done(), "raised": seen()}
        if circuit is not None:
            status = circuit.status()
            counts |= {"calls": status.calls, "failures": status.failures}
        return agree("failing calls", **counts)

    return done


CALLS = (
    Contest("sync", "a decorated call", decorated),
    Contest("call", "circuit.call(function)", through_call),
    Contest("count-window", "the same with a window of calls", judged(trip=COUNTS)),
    Contest("time-window", "the same with a window of time", judged(trip=TIMES)),
    Contest("slow-timing", "the same with slow calls timed", judged(slow_after=5.0)),
    Contest(
        "all-timed",
        "the same with a window of time and slow calls",
        judged(trip=TIMES, slow_after=5.0),
    ),
    Contest("guard", "a call in a with block", with_guard),
    Contest("async", "a decorated coroutine function, on asyncio", decorated_async),
    Contest("async-with", "an awaited call in an async with block, on asyncio", async_with),
    Contest("failure", "a decorated call that fails, and is counted", failing),
)
