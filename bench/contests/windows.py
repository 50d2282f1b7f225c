"""What a call costs as its window grows, when some of the calls fail."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count

import brama
from bench.contest import Contender, Contest, Scale, agree
from bench.peers import peer

__all__ = ["WINDOWS"]

SIZES = (10, 100, 1_000, 10_000, 100_000)
BUCKETS = (10, 60, 600)
EACH = 20
"""One call in so many fails: far from the rate that opens, often enough to fill the window."""


class Mixed:
    """Work that fails each `EACH`-th time."""

    def __init__(self) -> None:
        self._calls = count(1)
        calls = self._calls

        def call() -> None:
            if not next(calls) % EACH:
                raise ConnectionError

        self.call = call

    def done(self) -> int:
        return int(repr(self._calls)[6:-1]) - 1


def _run(guarded: Callable[[], None]) -> Callable[[int], None]:
    def run(times: int) -> None:
        for _ in range(times):
            try:
                guarded()
            except ConnectionError:
                pass

    return run


@contextmanager
def by_window(scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        sizes = [size for size in SIZES if size <= SIZES[-1] * scale.size]
        contenders = [
            _ours(system, "brama, calls", size, brama.CountWindow(size=size, rate=0.5, minimum=10))
            for size in sizes
        ]
        contenders += [
            _ours(
                system,
                "brama, time",
                buckets,
                brama.TimeWindow(seconds=60, buckets=buckets, rate=0.5, minimum=10),
            )
            for buckets in BUCKETS
        ]
        if library := peer("interlock"):
            for size in sizes:
                mixed = Mixed()
                breaker = library.CircuitBreaker(
                    name="bench", config=library.Config(window_size=size)
                )
                contenders.append(_of("interlock, calls", size, breaker(mixed.call), mixed.done))
        yield contenders


def _ours(
    system: brama.System, series: str, size: int, trip: brama.CountWindow | brama.TimeWindow
) -> Contender:
    circuit, mixed = system.circuit(f"{series} {size}", trip=trip), Mixed()

    def done() -> int:
        status = circuit.status()
        agree("failures", counted=status.failures, work=mixed.done() // EACH)
        return agree("calls through a window", counted=status.calls, work=mixed.done())

    return _of(series, size, circuit(mixed.call), done)


def _of(series: str, size: int, call: Callable[[], None], done: Callable[[], int]) -> Contender:
    return Contender(
        f"{series}, {size}", _run(call), done, compared=False, series=series, at=float(size)
    )


WINDOWS = (
    Contest(
        "by-window",
        "a decorated call, one in 20 fails, with a window of so many calls or buckets",
        by_window,
        axis="calls in the window, or buckets",
        quick=False,
    ),
)
