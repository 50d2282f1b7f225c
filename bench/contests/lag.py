"""How late the loop is under load: an actor that wants to wake at certain times says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import islice, repeat
from typing import Any

import trio

import brama
from bench.contest import TAILS, WALL, Contender, Contest, Scale, WorkNotDone
from brama.actors import Actor, InlineActor

from .dispatch import Hall
from .endtoend import Storm

__all__ = ["LAG"]

EVERY = 0.002
TICKS = 150
THREADS = 4
MANY = 20_000


class Clockwork(Actor):
    """Told a list, it wakes many times and notes how late it was each time."""

    async def on_receive(self, message: tuple[list[float], threading.Event]) -> None:
        late, rung = message
        while len(late) < TICKS:
            due = time.perf_counter() + EVERY
            await trio.sleep(EVERY)
            late.append(time.perf_counter() - due)
        rung.set()


class Sink(InlineActor):
    """Is told a lot."""

    def on_receive(self, message: Any) -> None:
        pass


def _late(name: str, system: brama.System, load: Callable[[], object]) -> Contender:
    """How late the loop was each time, while another thread goes on with `load`."""
    clock = system.actors.spawn(Clockwork)
    ticks = 0

    def run(times: int) -> list[float]:
        nonlocal ticks
        late: list[float] = []
        rung, errors = threading.Event(), []

        def work() -> None:
            try:
                while not rung.is_set():
                    load()
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        clock.tell((late, rung))
        if not rung.wait(60):
            raise WorkNotDone(f"the loop woke {len(late)} of {TICKS} times under {name}")
        thread.join(60)
        if errors:
            raise errors[0]
        ticks += len(late)
        return late

    return Contender(name, run, lambda: ticks, times=TICKS, compared=False)


@contextmanager
def under_load(scale: Scale) -> Generator[Sequence[Contender], None, None]:
    with ExitStack() as stack:
        systems = (_started(stack) for _ in repeat(None))
        idle, told, raging, publishing, sweeping, busy = islice(systems, 6)
        sink = told.actors.spawn(Sink)
        storm = Storm(raging)
        hall = Hall(publishing, 1000)
        for number in range(int(MANY * scale.size)):
            sweeping.circuit(str(number))
        guarded = busy.circuit("busy")(lambda: None)
        yield [
            _late("idle", idle, lambda: time.sleep(EVERY)),
            _late("tells", told, lambda: _tell(sink)),
            _late("transitions", raging, lambda: storm.rage(200)),
            _late("dispatch", publishing, lambda: hall.publish(100)),
            _late("a cleanup by hand", sweeping, sweeping.cleanup),
            _late("4 busy threads", busy, lambda: _busy(guarded)),
        ]


def _started(stack: ExitStack) -> brama.System:
    system: AbstractContextManager[brama.System] = brama.System()
    return stack.enter_context(system)


def _tell(sink: Any) -> None:
    for _ in range(1000):
        sink.tell("message")
    time.sleep(0)


def _busy(guarded: Callable[[], None]) -> None:
    def work() -> None:
        for _ in range(20_000):
            guarded()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


LAG = (
    Contest(
        "lag",
        "how late the loop wakes while it or others are busy",
        under_load,
        "us",
        clock=WALL,
        quantiles=TAILS,
        rounds=8,
        quick=False,
    ),
)
