"""Handlers that are actors: with a state of their own, restarted when they crash."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import (
    getattr_static,
    isasyncgenfunction,
    iscoroutinefunction,
    isgeneratorfunction,
    signature,
)
from types import FunctionType
from typing import Any, ClassVar

import trio

from brama.actors import Actor, lend
from brama.circuits import Event
from brama.telemetry import ConfigError

from .bell import BELL
from .delivery import deliver_async
from .entering import calls_handlers
from .kinds import accepts, refuse_unrun
from .lingering import FLUSH, lingers
from .subscription import Subscription

__all__ = ["HandlerActor", "hosted"]


class HandlerActor(Actor):
    """An actor that handles events, one at a time, in `on_event`.

    Subscribe the class, not an instance: ``brama.subscribe(Pager, events=["circuit_opened"])``. The
    system starts it under a supervisor of its own. If `on_event` raises, the actor is started anew
    and gets the same event again, marked `Event.redelivered`; other handlers notice nothing.
    Constructor arguments are given with `functools.partial`.

    Example:
        >>> class Pager(brama.notifier.HandlerActor):
        ...     def __init__(self) -> None:
        ...         super().__init__()
        ...         self.open = set()
        ...     def on_event(self, event):
        ...         self.open.add(event.connection)

    The other hooks are those of `brama.actors.Actor`, ``async def``.
    """

    _own_subscription: ClassVar[Subscription | None] = None

    def on_event(self, event: Event) -> Any:
        """Handle one event. A plain function runs on a worker thread, an ``async def`` on trio."""
        raise NotImplementedError

    async def on_receive(self, message: Any) -> Any:
        """Events arrive here first. Who overrides this hands on what is not his to ``super()``."""
        subscription = self._own_subscription
        if subscription is not None and (message is BELL or message is FLUSH):
            if not lingers(self, subscription, message):
                await deliver_async(subscription, self._handler())
                lingers(self, subscription, None)
            return None
        if isinstance(message, Event):  # told through a plain ref
            return await self._handler()(message)
        return await super().on_receive(message)

    def _handler(self) -> Callable[[Event], Awaitable[Any]]:
        # Asked here and not on the way into the handler, where nothing but ours may stand.
        return self._await if iscoroutinefunction(self.on_event) else self._send

    @calls_handlers
    async def _await(self, event: Event) -> Any:
        return await self.on_event(event)

    async def _send(self, event: Event) -> None:
        await trio.to_thread.run_sync(self._run, event, abandon_on_cancel=True)

    def _run(self, event: Event) -> None:
        subscription = self._own_subscription
        with lend(self.actor_ref):
            if subscription is None:
                self._call(event)
                return
            thread = threading.current_thread()
            subscription.aside.append(thread)
            try:
                self._call(event)
            finally:
                subscription.aside.remove(thread)

    @calls_handlers
    def _call(self, event: Event) -> None:
        # `close` may have returned while this thread was on its way, and may be called on it; or
        # the actor was killed, and its successor is at work.
        subscription = self._own_subscription
        if subscription is None or subscription.begin(self.actor_ref):
            refuse_unrun(self.on_event(event))


def hosted(handler: Any, subscription: Subscription) -> type[HandlerActor]:
    """The handler's class, bound to `subscription`: each incarnation delivers from it."""
    cls: type[HandlerActor] = handler_class(handler)
    arguments, keywords = (
        (handler.args, handler.keywords) if isinstance(handler, partial) else ((), {})
    )

    class Bound(cls):  # type: ignore[misc, valid-type]  # a base of run time
        _own_subscription = subscription

        def __init__(self) -> None:
            super().__init__(*arguments, **keywords)

        async def on_start(self) -> None:
            await super().on_start()
            subscription.deliverer = self.actor_ref
            self.actor_ref.tell(BELL)

    Bound.__name__, Bound.__qualname__, Bound.__module__ = (
        cls.__name__,
        cls.__qualname__,
        cls.__module__,
    )
    return Bound


def handler_class(handler: Any) -> Any:
    """The `HandlerActor` subclass in `handler` (the class or a partial of it), or None."""
    cls = handler.func if isinstance(handler, partial) else handler
    if not (isinstance(cls, type) and issubclass(cls, HandlerActor)):
        return None
    on_event = getattr_static(cls, "on_event")
    if on_event is getattr_static(HandlerActor, "on_event"):
        raise ConfigError(
            "handler", f"a class that defines on_event(event); {cls.__name__} does not", cls
        )
    plain = isinstance(on_event, FunctionType)
    if isgeneratorfunction(cls.on_event) or isasyncgenfunction(cls.on_event):
        raise ConfigError(
            "handler",
            f"a class whose on_event runs when it is called; that of {cls.__name__} is a generator",
            cls,
        )
    if not (accepts(on_event, None, None) if plain else callable(cls.on_event)):
        given = signature(on_event) if plain else f" = {on_event!r}"
        raise ConfigError(
            "handler",
            "a class whose on_event takes one event, def on_event(self, event); that of "
            f"{cls.__name__} is on_event{given}",
            cls,
        )
    args, keywords = (handler.args, handler.keywords) if isinstance(handler, partial) else ((), {})
    if not accepts(cls, *args, **keywords):
        raise ConfigError(
            "handler",
            f"a class that can be made: {cls.__name__}{signature(cls)}",
            handler,
            hint="Its arguments come with functools.partial.",
        )
    return cls
