"""How a system starts, runs and ends."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Self, TypeVar

import trio
from attrs import evolve

from brama.actors import ActorSystem, Health, StopReport, TreeNode
from brama.circuits import seconds

from .composition import AT_EXIT, Composition

__all__ = ["Life"]

R = TypeVar("R")

LAST_PART = 0.5
"""Seconds of a stop's time that are not spent on what waits for handlers, but on ending."""


class Life(Composition):
    """The life of a `System`: its start, its end, and how it does in between."""

    def start(self) -> None:
        """Start the thread and wait until the tree stands. Idempotent, and seldom needed."""
        self.actors.start()

    def stop(self, timeout: float | timedelta | None = None) -> StopReport:
        """Stop the tree and end the subscriptions.

        In a handler or an actor that the end waits for it returns at once, with ``complete=False``,
        and all ends when that has returned.

        Args:
            timeout: seconds that an orderly stop may take, 0 for none; None is the setting
                `stop_timeout`. What is left then is killed, for which it may take up to two more.

        Returns:
            What could not be stopped, by name: a handler that still runs on its thread, too.
        """
        limit = (
            self.settings.stop_timeout
            if timeout is None
            else seconds("timeout", timeout, zero=True)
        )
        began = time.monotonic()
        deadline = began + limit
        awaited, report = self.actors.awaits_caller(), self.actors.stop(limit)
        if awaited:
            # What is under way still drains: the rest is done behind it, here or by `run`.
            if not self._hosted:
                threading.Thread(
                    target=self.stop, args=(limit,), name="brama stop", daemon=True
                ).start()
            return report
        self._subscriptions.drain(deadline - min(LAST_PART, limit / 5))
        handlers = self._subscriptions.present()
        self._subscriptions.close_all("its system was stopped")
        self._finish_journal(max(0.1, deadline - time.monotonic()))
        running = tuple(
            f"handler {handler.name}"
            for handler in handlers
            if not handler.close(wait=max(0.0, deadline - time.monotonic())) or handler.left_behind
        )
        return evolve(
            report,
            complete=report.complete and not running,
            unstoppable=(*report.unstoppable, *running),
            elapsed=time.monotonic() - began,
        )

    async def astop(self, timeout: float | timedelta | None = None) -> StopReport:
        """`stop`, awaited on asyncio or trio."""
        if self.actors.on_loop_thread():
            return self.stop(timeout)
        return await _in_thread(partial(self.stop, timeout))

    async def run(self, *, task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED) -> None:
        """Run in the calling trio loop instead of a thread, until `stop` or cancellation.

        Under trio's ``MockClock`` the circuits follow its time, too.

        Example:
            >>> async with trio.open_nursery() as nursery:
            ...     await nursery.start(system.run)
            ...     ...
            ...     system.stop()
        """
        # Without a trio run the actors say what to do instead.
        clock: Any = trio.lowlevel.current_clock() if trio.lowlevel.in_trio_run() else None
        former = self._shared.clock
        # Whoever uses a mock clock has imported it; we do not, for it imports pytest in turn.
        testing = sys.modules.get("trio.testing")
        if testing is not None and isinstance(clock, testing.MockClock):
            self._shared.clock = clock.current_time
        started = _Started(self, task_status)
        self._hosted = True
        try:
            await self.actors.run(task_status=started)
        finally:
            self._hosted = False
            self._shared.clock = former
            if started.done:  # else it runs elsewhere, or has not begun: nothing has ended
                in_thread, limit = trio.to_thread.run_sync, self.settings.stop_timeout
                with trio.CancelScope(shield=True):
                    if self._subscriptions.at_work:
                        await in_thread(self._subscriptions.drain, time.monotonic() + AT_EXIT)
                    if self._journal is not None:
                        await in_thread(self._finish_journal, limit)
                self._subscriptions.close_all("its system was stopped")

    def tree(self) -> TreeNode:
        """The supervision tree at this instant: ``print(system.tree())`` draws it."""
        return self.actors.tree()

    def health(self) -> Health:
        """Whether all is well, and what is not: tree, loop, quarantined handlers, journal."""
        health = self.actors.health()
        names = self._subscriptions.quarantined()
        found = [f"quarantined: handler {name}" for name in names]
        if self._journal is not None:
            found += self._journal.reasons()
        if not found or health.status == "stopped":
            return health
        return evolve(health, status="degraded", reasons=(*health.reasons, *found))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        if not self.actors.running:
            await _in_thread(self.start)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.astop()


class _Started(trio.TaskStatus[ActorSystem]):
    """Tells whoever started `System.run` that the tree is up."""

    def __init__(self, system: Life, status: trio.TaskStatus[Any]) -> None:
        self.done = False
        self._system = system
        self._status = status

    def started(self, value: object = None) -> None:
        self.done = True
        self._status.started(self._system)


async def _in_thread(function: Callable[[], R]) -> R:
    if trio.lowlevel.in_trio_run():
        return await trio.to_thread.run_sync(function)
    return await asyncio.to_thread(function)
