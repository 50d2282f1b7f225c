"""Helpers for tests of code that is built on actors.

Example, with pytest-trio; time is virtual:

    >>> async def test_a_refresh_is_repeated(autojump_clock):
    ...     system = ActorSystem("test", children=[ChildSpec("prices", Prices)])
    ...     async with running(system):
    ...         system.names.via("prices").tell("refresh")
    ...         await settle(system)
    ...         await trio.sleep(60)
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
import trio.testing

from .system import ActorSystem

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
    """`settle` from a plain thread, for a system on its own loop. Raises ``TimeoutError``."""
    end = time.monotonic() + timeout
    calm = 0
    while calm < 3:
        if time.monotonic() > end:
            raise TimeoutError(f"{system} was still busy after {timeout} s")
        looked, busy = threading.Event(), [False]

        def look(looked: threading.Event = looked, busy: list[bool] = busy) -> None:
            busy[0] = system.scheduler.busy
            looked.set()

        if not system.call_soon(look):
            return
        looked.wait(max(0.0, end - time.monotonic()))
        # Three calm looks in a row: the first may have fallen between a message and its answer.
        calm = 0 if busy[0] else calm + 1
