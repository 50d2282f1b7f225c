"""Waiting for the verdict of the probes, instead of being refused while all of them are out.

A waiter is woken when a probe gives its place back and when the state changes, and then asks for
admission anew. It never waits past its own deadline nor past the lease of the oldest probe.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from .state import State

if TYPE_CHECKING:
    from .breaker import Breaker

__all__ = ["in_task", "wait_async", "wait_here"]

Ask = Callable[[], bool]

LONGEST = 86400.0
"""Seconds that a thread sleeps at a time; the operating system refuses times out of its range."""


def in_task() -> bool:
    """Whether this is a trio or asyncio task, which must not be blocked."""
    if trio.lowlevel.in_trio_run():
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def wait_here(breaker: Breaker, ask: Ask) -> bool:
    """Wait in this thread until `ask` succeeds; False when the time is over or it is open."""
    deadline = time.monotonic() + breaker.policy.half_open_wait
    while True:
        # A plain lock: its release is one step, and so is safe in a finalizer.
        gate = threading.Lock()
        gate.acquire()
        left = _enlist(breaker, gate.release, deadline - time.monotonic())
        if left is None:
            return ask()
        if ask():
            breaker.dismiss(gate.release)
            return True
        gate.acquire(timeout=min(max(0.0, left), LONGEST))
        breaker.dismiss(gate.release)
        if time.monotonic() >= deadline:
            return ask()


async def wait_async(breaker: Breaker, ask: Ask) -> bool:
    """The same in a task of trio or asyncio; cancellation ends it."""
    if trio.lowlevel.in_trio_run():
        return await _wait_trio(breaker, ask)
    return await _wait_asyncio(breaker, ask)


async def _wait_trio(breaker: Breaker, ask: Ask) -> bool:
    deadline = trio.current_time() + breaker.policy.half_open_wait
    token = trio.lowlevel.current_trio_token()
    while True:
        event = trio.Event()

        def wake(event: trio.Event = event) -> None:
            try:
                token.run_sync_soon(event.set)
            except trio.RunFinishedError:
                pass

        left = _enlist(breaker, wake, deadline - trio.current_time())
        if left is None:
            return ask()
        if ask():
            breaker.dismiss(wake)
            return True
        try:
            with trio.move_on_after(max(0.0, left)):
                await event.wait()
        finally:
            breaker.dismiss(wake)
        if trio.current_time() >= deadline:
            return ask()


async def _wait_asyncio(breaker: Breaker, ask: Ask) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + breaker.policy.half_open_wait
    while True:
        event = asyncio.Event()

        def wake(event: asyncio.Event = event) -> None:
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # the loop is closed
                pass

        left = _enlist(breaker, wake, deadline - loop.time())
        if left is None:
            return ask()
        if ask():
            breaker.dismiss(wake)
            return True
        try:
            async with asyncio.timeout(max(0.0, left)):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            breaker.dismiss(wake)
        if loop.time() >= deadline:
            return ask()


def _enlist(breaker: Breaker, wake: Callable[[], object], left: float) -> float | None:
    """Be woken; how long to wait at most, None if there is nothing to wait for."""
    if left <= 0:
        return None
    lease = breaker.enlist(wake)
    if lease is None or breaker.state is not State.HALF_OPEN:
        breaker.dismiss(wake)
        return None
    return min(left, lease)
