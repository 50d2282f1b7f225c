"""What runs beside an actor's messages: tasks that it has spawned and that end with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from functools import partial
from typing import Any, Protocol

import trio

from .host import Host
from .unwinding import unwinds

__all__ = ["Crew"]


class Captain(Protocol):
    """The actor's cell, to its tasks."""

    ref: Any

    @property
    def host(self) -> Host: ...

    async def run_beside(
        self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None: ...

    def crew_failed(self, error: BaseException) -> None: ...


class Crew:
    """The spawned tasks of one actor. On the loop thread."""

    __slots__ = ("_captain", "_scopes", "_watchers")

    def __init__(self, captain: Captain) -> None:
        self._captain = captain
        self._scopes: set[trio.CancelScope] = set()
        self._watchers: list[trio.Event] = []

    def spawn(
        self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], name: str
    ) -> trio.CancelScope:
        """Begin a task; cancelling the scope ends it."""
        scope = trio.CancelScope()
        self._captain.host.scheduler.spawn_task(
            partial(self._run, scope, async_fn, args),
            copy_context(),
            f"{name} of {self._captain.ref}",
        )
        self._scopes.add(
            scope
        )  # it has not run yet; and where it cannot be spawned, it is not here
        return scope

    async def _run(
        self,
        scope: trio.CancelScope,
        async_fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
    ) -> None:
        task = trio.lowlevel.current_task()
        fault: BaseException | None = None
        try:
            with scope:
                await self._captain.run_beside(async_fn, args)
        except BaseException as error:
            if unwinds(error, scope, task):
                raise
            fault = error
        finally:
            self._scopes.discard(scope)
            if not self._scopes:
                watchers, self._watchers = self._watchers, []
                for event in watchers:
                    event.set()
            self._captain.host.scheduler.task_ended()
        if fault is not None:
            self._captain.crew_failed(fault)

    def cancel(self) -> None:
        """Cancel all of them."""
        for scope in list(self._scopes):
            scope.cancel(reason=f"{self._captain.ref} has ended")

    async def gone(self) -> None:
        """Wait until all have ended."""
        if self._scopes:
            event = trio.Event()
            self._watchers.append(event)
            await event.wait()
