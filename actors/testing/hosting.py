"""Run a system on a test's own loop, and wait until it has come to rest."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
import trio.testing

from .. import ActorSystem
from ..blocking import BlockingCell
from ..cell import Cell

__all__ = ["running", "settle", "settle_blocking"]


@asynccontextmanager
async def running(system: ActorSystem) -> AsyncGenerator[ActorSystem, None]:
    """Run ``system`` on the test's own loop, and stop it in order at the end."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_run, system)
        try:
            yield system
        finally:
            system.request_stop()


async def _run(system: ActorSystem, *, task_status: trio.TaskStatus[ActorSystem]) -> None:
    await system.run(task_status=task_status)


async def settle(system: ActorSystem) -> None:
    """Wait until no actor on the loop has mail or is handling any.

    For a system that runs on the calling loop. Timers that are not due are not waited for, nor are
    blocking actors.
    """
    while True:
        # First whatever else is runnable: a test's own tasks may be about to send.
        await trio.testing.wait_all_tasks_blocked()
        if not system.scheduler.busy:
            return
        await system.scheduler.idle()


def settle_blocking(system: ActorSystem, timeout: float = 5.0) -> None:
    """`settle` from a plain thread, for a system on a loop of its own.

    Unlike `settle` it waits for blocking actors, too.

    Raises:
        TimeoutError: the system was still busy after ``timeout`` seconds.
    """
    end = time.monotonic() + timeout
    calm = 0
    while calm < 3:
        if time.monotonic() > end:
            raise TimeoutError(f"{system} was still busy after {timeout} s")
        looked, busy = threading.Event(), [False]

        def look(looked: threading.Event = looked, busy: list[bool] = busy) -> None:
            busy[0] = system.scheduler.busy or any(map(_at_work, system.cells))
            looked.set()

        if not system.call_soon(look):
            return
        looked.wait(max(0.0, end - time.monotonic()))
        # Three calm looks in a row: the first may have fallen between a message and its answer.
        calm = 0 if busy[0] else calm + 1
        if busy[0]:
            time.sleep(0.001)  # leave the processor to those who work


def _at_work(cell: Cell) -> bool:
    return isinstance(cell, BlockingCell) and (cell.executing or not cell.idle)
