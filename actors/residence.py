"""Where the loop of a system lives: on a thread of its own, or beneath a host's ``trio.run``.

A loop can die, of a bug in whatever runs on it. Then every actor on it is dead at once, the system
is degraded, and it goes on with another loop after a back-off.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio

from .engine import Engine, Tenancy
from .errors import HostError
from .future import permit_blocking

__all__ = ["HostLoop", "Visit", "check_run", "own_thread"]

logger = logging.getLogger("brama.actors")


def check_run(name: str) -> None:
    """Raise `HostError` where `run` is awaited outside of trio."""
    if not trio.lowlevel.in_trio_run():
        raise HostError(
            f"{name} runs on trio's loop, and there is none here: trio.run(system.run). In an "
            "asyncio program write `async with system:`, elsewhere `with system:` or "
            "system.start(), and it has a thread of its own"
        )


class Resident(Tenancy, Protocol):
    """A system, as far as its loop is concerned."""

    def _loop_died(self, why: str) -> None: ...

    def _over(self, engine: Engine) -> None: ...


def own_thread(system: Resident, engine: Engine, delay: float = 0.0) -> threading.Thread:
    """The thread, not started, that runs ``engine``, on one loop after another if they die.

    Args:
        delay: seconds before the first loop; a stop ends the wait.
    """
    engine.backing_off = delay > 0
    return threading.Thread(
        target=_run, args=(system, engine, delay), name=f"{system.name}-loop", daemon=True
    )


def _run(system: Resident, engine: Engine, delay: float) -> None:
    failures = 0
    while not (delay and engine.user_stop.wait(delay)):
        engine.backing_off = False
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
            system._loop_died(f"the loop died: {error!r}")
            engine.revive()
    system._over(engine)


async def _main(system: Resident, engine: Engine) -> None:
    await engine.main(lambda: None, system.stop_timeout)
    if engine.report is not None and not engine.report.complete:
        # Here and not only after the run: trio waits for a task that does not end, and nobody else
        # should.
        system._over(engine)


class HostLoop(trio.abc.Instrument):
    """Notices that the host's loop dies, while a system lives on it or just before.

    A loop dies in one of two ways. Suddenly: then no line of ours on it ever runs again. Or it
    cancels all its tasks first, ours among them, which looks like any cancellation by the host;
    so after one the watch goes on until the loop has ended, and how it has ended tells.

    Args:
        died: called in the thread of the loop, when that is no longer one.
    """

    def __init__(self, died: Callable[[], None]) -> None:
        self._died = died
        self._inside = False
        self._token: trio.lowlevel.TrioToken | None = None

    @property
    def gone(self) -> bool:
        """Whether the loop has ended."""
        return self._token is None

    def enter(self) -> None:
        """The system begins to live on the calling loop."""
        self._inside = True
        self._token = trio.lowlevel.current_trio_token()
        trio.lowlevel.add_instrument(self)

    def leave(self, *, cancelled: bool) -> None:
        """The system has ended; when it was cancelled, the watch goes on."""
        self._inside = False
        if not cancelled:
            self.forget()

    def forget(self) -> None:
        """End the watch. Nothing happens on any other loop than the one that was entered."""
        if self._token is not None and self._token is _present_token():
            trio.lowlevel.remove_instrument(self)
            self._token = None

    def after_run(self) -> None:
        self._token = None
        if self._inside or isinstance(sys.exc_info()[1], trio.TrioInternalError):
            if self._inside:
                permit_blocking()
            self._died()


class Visit:
    """A system on the loop of a trio program, for as long as an ``async with`` lasts.

    A nursery of its own stands around the block and is not seen: what the block raises comes out
    as it is, in no group.
    """

    def __init__(self, run: Callable[..., Awaitable[object]]) -> None:
        self._run = run
        self._manager: Any = trio.open_nursery()
        self._task = trio.lowlevel.current_task()

    def of_this_task(self) -> bool:
        """Whether the calling task has begun it, and so may end it: the nursery is its own."""
        return trio.lowlevel.in_trio_task() and trio.lowlevel.current_task() is self._task

    async def begin(self) -> None:
        nursery = await self._manager.__aenter__()
        try:
            await nursery.start(self._run)
        except BaseException as error:
            try:
                await self._manager.__aexit__(type(error), error, error.__traceback__)
            except BaseExceptionGroup:
                pass  # the same error once more
            raise

    async def end(self) -> None:
        await self._manager.__aexit__(None, None, None)


def _present_token() -> trio.lowlevel.TrioToken | None:
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None
