"""Eight threads on one circuit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from itertools import repeat
from typing import Any, Self

import brama
from bench.contest import WALL, Contender, Contest, Scale, WorkNotDone
from bench.peers import installed

from .work import Work, settled

__all__ = ["THREADS"]

SIZE = 8
SIZES = (1, 2, 4, 8, 16, 32)
BESIDE = ("circuitbreaker", "purgatory")
PATIENCE = 10.0


class Crew:
    """Threads that work a round together: each a share of it, all from the same instant."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._gate = threading.Barrier(size + 1)
        self._call: Callable[[], Any] | None = None
        self._times = 0
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._work, args=(place,), daemon=True) for place in range(size)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._call = None
        self._gate.wait()
        for thread in self._threads:
            thread.join()

    def rounds_of(self, call: Callable[[], Any]) -> Callable[[int], None]:
        """A round of `call`, shared among the crew."""

        def run(times: int) -> None:
            self._call, self._times = call, times
            self._gate.wait()
            self._gate.wait()
            if self._errors:
                raise self._errors.pop()

        return run

    def _work(self, place: int) -> None:
        while True:
            self._gate.wait()
            call = self._call
            if call is None:
                return
            share, rest = divmod(self._times, self._size)
            try:
                for _ in repeat(None, share + (place < rest)):
                    call()
            except BaseException as error:  # noqa: BLE001 - raised again by whoever asked
                self._errors.append(error)
            self._gate.wait()


@contextmanager
def shared(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system, Crew() as crew:
        _never_waits(system.circuit("hanging"))
        circuit, work = system.circuit("bench"), Work()
        guarded = circuit(work.call)
        contenders = [Contender("brama", crew.rounds_of(guarded), settled(circuit, work))]
        for one, library in installed():
            work = Work()
            guarded = one.default(library).decorate(work.call)
            contenders.append(Contender(one.name, crew.rounds_of(guarded), work.done))
        yield contenders


def _never_waits(circuit: brama.Circuit) -> None:
    """While one call hangs, another one passes."""
    inside, passed = threading.Event(), threading.Event()

    @circuit
    def hang() -> bool:
        inside.set()
        return passed.wait(PATIENCE)

    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(hang()), daemon=True)
    thread.start()
    inside.wait(PATIENCE)
    other = threading.Thread(target=circuit(passed.set), daemon=True)
    other.start()
    thread.join(2 * PATIENCE)
    if answers != [True]:
        raise WorkNotDone("a call waited for another call of the same circuit")


@contextmanager
def by_threads(scale: Scale) -> Generator[list[Contender], None, None]:
    peers = [(one, library) for one, library in installed() if one.name in BESIDE]
    with brama.System() as system, ExitStack() as stack:
        contenders = []
        for size in SIZES[:3] if scale.size < 1 else SIZES:
            crew = stack.enter_context(Crew(size))
            circuit, work = system.circuit(f"bench-{size}"), Work()
            run = crew.rounds_of(circuit(work.call))
            contenders.append(_of("brama", size, run, settled(circuit, work)))
            for one, library in peers:
                theirs = Work()
                run = crew.rounds_of(one.default(library).decorate(theirs.call))
                contenders.append(_of(one.name, size, run, theirs.done))
        yield contenders


def _of(
    series: str, size: int, run: Callable[[int], float | None], done: Callable[[], int]
) -> Contender:
    return Contender(f"{series}, {size}", run, done, compared=False, series=series, at=float(size))


THREADS = (
    Contest("threads", "a decorated call, by 8 threads at once", shared, clock=WALL, slice=0.04),
    Contest(
        "by-threads",
        "a decorated call, by so many threads at once",
        by_threads,
        clock=WALL,
        slice=0.02,
        axis="threads",
        quick=False,
    ),
)
