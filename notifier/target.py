"""Whom the events of a subscription go to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pykka
import trio

from brama.circuits import Event

from .inline import Inline
from .kinds import identity

__all__ = ["AsyncioHandler", "Target", "TrioHandler", "key_of"]


@attrs.frozen
class AsyncioHandler:
    """An async handler and the asyncio loop that it was subscribed from."""

    handler: Callable[[Event], Awaitable[object]]
    loop: asyncio.AbstractEventLoop


@attrs.frozen
class TrioHandler:
    """An async handler and the trio run that it was subscribed from; None is Brama's own."""

    handler: Callable[[Event], Awaitable[object]]
    token: trio.lowlevel.TrioToken | None


@attrs.frozen(eq=False)
class Target:
    """Where the events of a subscription go.

    Attributes:
        given: what was subscribed: what tells whether two are the same.
        handler: what to call with an event, as its deliverer takes it.
        name: for people.
        lossy: an event that was handed over is done with: at most once.
    """

    given: Any
    handler: Any
    name: str
    lossy: bool = False

    def needs_caller(self) -> bool:
        """Whether the handler runs on the very loop of the user's that this is called on."""
        handler = self.handler
        if isinstance(handler, AsyncioHandler):
            return asyncio._get_running_loop() is handler.loop
        if isinstance(handler, TrioHandler) and trio.lowlevel.in_trio_run():
            return trio.lowlevel.current_trio_token() is handler.token
        return False

    def same(self) -> tuple[object, ...]:
        """Equal for targets of which the second would only make doubles of the first."""
        loop: object = None
        if isinstance(self.handler, AsyncioHandler):
            loop = self.handler.loop
        elif isinstance(self.handler, TrioHandler):
            loop = self.handler.token
        return type(self.handler) if loop else isinstance(self.given, Inline), id(loop), self.key()

    def key(self) -> tuple[object, ...]:
        """Equal for targets to which the same was given."""
        return key_of(self.given)


def key_of(given: Any) -> tuple[object, ...]:
    """Equal for two references to the same handler that lives, actor or queue."""
    if isinstance(given, pykka.ActorRef):
        return ("actor", given.actor_urn)
    return identity(given.handler if isinstance(given, Inline) else given)
