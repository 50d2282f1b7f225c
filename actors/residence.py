"""Where the loop of a system lives: on a thread of its own, or beneath a host's ``trio.run``.

A loop can die, of a bug in whatever runs on it. Then every actor on it is dead at once, the system
is degraded, and it goes on with another loop after a back-off.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, Self

import trio

from .backoff import Backoff
from .engine import Engine
from .future import permit_blocking

__all__ = ["HostLoop", "own_thread"]

logger = logging.getLogger("brama.actors")


class Resident(Protocol):
    """A system, as far as its loop is concerned."""

    @property
    def name(self) -> str: ...

    @property
    def stop_timeout(self) -> float: ...

    @property
    def backoff(self) -> Backoff: ...

    def loop_died(self, why: str) -> None: ...

    def over(self, engine: Engine) -> None: ...


def own_thread(system: Resident, engine: Engine, delay: float = 0.0) -> threading.Thread:
    """The thread, not started, that runs ``engine``, on one loop after another if they die.

    Args:
        delay: seconds before the first loop; a stop ends the wait.
    """
    return threading.Thread(
        target=_run, args=(system, engine, delay), name=f"{system.name}-loop", daemon=True
    )


def _run(system: Resident, engine: Engine, delay: float) -> None:
    failures = 0
    while not (delay and engine.user_stop.wait(delay)):
        began = time.monotonic()
        try:
            trio.run(_main, system, engine)
            break
        except BaseException as error:
            if time.monotonic() - began >= system.backoff.reset_after:
                failures = 0
            failures += 1
            delay = system.backoff.delay(failures, lambda: 0.5)
            logger.critical(
                "%s: the loop died after %.1f s, and every actor with it; starting it again in "
                "%.1f s. Circuits go on protecting, their events wait",
                system.name,
                time.monotonic() - began,
                delay,
                exc_info=error,
            )
            system.loop_died(f"the loop died: {error!r}")
            engine.revive()
    system.over(engine)


async def _main(system: Resident, engine: Engine) -> None:
    await engine.main(lambda: None, system.stop_timeout)
    if engine.report is not None and not engine.report.complete:
        # Here and not only after the run: trio waits for a task that does not end, and nobody else
        # should.
        system.over(engine)


class HostLoop(trio.abc.Instrument):
    """Notices that the host's loop ends while a system lives on it.

    An ordered end of `ActorSystem.run` comes before the end of the loop, so whoever is still here
    then has had the ground taken from under it, and no line of its own will ever run again.
    """

    def __init__(self, died: Callable[[], None]) -> None:
        self._died = died
        self.gone = False

    def after_run(self) -> None:
        self.gone = True
        permit_blocking()
        self._died()

    def __enter__(self) -> Self:
        trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *_exc: object) -> None:
        if not self.gone:
            trio.lowlevel.remove_instrument(self)
