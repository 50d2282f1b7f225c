"""What may be given as a handler, and how each kind is delivered to."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from typing import Any, Protocol, cast

import pykka
import trio

from brama.actors import Via, present_actor
from brama.circuits import Event
from brama.telemetry import ConfigError

from .errors import TargetGone
from .handler_actor import HandlerActor, handler_class
from .inline import Inline
from .kinds import handles, is_async, name_of
from .owners import present_deliverer
from .target import AsyncioHandler, Target, TrioHandler

__all__ = ["actor_of", "may_be_target", "target_of"]


def actor_of(given: Any) -> Any:
    """The ref behind a proxy of pykka's; anything else as it is."""
    return given.actor_ref if isinstance(given, pykka.ActorProxy) else given


def may_be_target(given: Any) -> bool:
    """Whether `given` is something of a kind that can be subscribed."""
    return callable(given) or isinstance(
        given,
        Inline
        | pykka.ActorRef
        | Via
        | trio.abc.SendChannel
        | asyncio.Queue
        | queue.Queue
        | queue.SimpleQueue,
    )


class _Tellable(Protocol):
    def tell(self, message: Any) -> None: ...


def target_of(handler: Any, on_own_loop: Callable[[], bool]) -> Target:
    """The target that `handler` is; None is the actor that subscribes.

    Args:
        handler: what the user gave.
        on_own_loop: whether the caller is on Brama's own loop.

    Raises:
        ConfigError: nothing that events can go to.
    """
    if handler is None:
        handler = present_deliverer() or present_actor()
        if handler is None:
            raise ConfigError(
                "handler",
                "given outside of an actor",
                None,
                hint="Without one an actor subscribes itself, from its hooks and the tasks that it "
                "has spawned. From elsewhere give its ref, actor.actor_ref.",
            )
    handler = actor_of(handler)
    cls = handler_class(handler)
    if cls is not None:
        return Target(handler, handler, name_of(cls))
    if isinstance(handler, Inline):
        return Target(handler, handler, name_of(handler.handler))
    if isinstance(handler, pykka.ActorRef | Via):
        return _to_actor(handler)
    posted = _to_queue(handler, on_own_loop)
    if posted is not None:
        return posted
    if isinstance(handler, type) or not handles(handler):
        hint = "Subscribe the class; its arguments come with functools.partial."
        raise ConfigError(
            "handler",
            "a function of one event (plain, async or inline()), a HandlerActor class, the ref of "
            "an actor, a trio send channel or a queue",
            handler,
            hint=hint if isinstance(handler, HandlerActor) else "",
        )
    if not is_async(handler):
        return Target(handler, handler, name_of(handler))
    return Target(
        handler,
        _on_present_loop(cast("Callable[[Event], Any]", handler), on_own_loop),
        name_of(handler),
    )


def _to_actor(ref: Any) -> Target:
    name = str(ref)
    if isinstance(ref, pykka.ActorRef):
        name = f"{ref.actor_class.__qualname__} ({ref.actor_urn})"
        if not ref.is_alive():
            raise ConfigError("handler", "an actor that lives", ref)

    def post(event: Event) -> None:
        try:
            cast("_Tellable", ref).tell(event)
        except pykka.ActorDeadError:
            raise TargetGone(f"the actor {name} has ended") from None

    return Target(ref, Inline(post), name, lossy=True)


def _to_queue(given: Any, on_own_loop: Callable[[], bool]) -> Target | None:
    name = f"a {type(given).__qualname__}"
    if isinstance(given, trio.abc.SendChannel):
        send = cast("trio.abc.SendChannel[Event]", given).send

        async def into_channel(event: Event) -> None:
            try:
                await send(event)
            except (trio.ClosedResourceError, trio.BrokenResourceError):
                raise TargetGone("the channel is closed") from None

        handler = _on_present_loop(into_channel, on_own_loop)
        if not trio.lowlevel.in_trio_run():
            raise ConfigError("handler", "subscribed from the trio run that it belongs to", given)
        return Target(given, handler, name, lossy=True)
    if isinstance(given, asyncio.Queue):
        handler = _on_present_loop(cast("asyncio.Queue[Event]", given).put, on_own_loop)
        if not isinstance(handler, AsyncioHandler):
            raise ConfigError(
                "handler", "subscribed from the asyncio loop that it belongs to", given
            )
        return Target(given, handler, name, lossy=True)
    if isinstance(given, queue.SimpleQueue):
        return Target(given, Inline(cast("queue.SimpleQueue[Event]", given).put), name, lossy=True)
    if isinstance(given, queue.Queue):
        put = cast("queue.Queue[Event]", given).put
        # One with a limit makes whoever puts wait, so that is a worker thread.
        return Target(given, put if given.maxsize > 0 else Inline(put), name, lossy=True)
    return None


def _on_present_loop(
    handler: Callable[[Event], Any], on_own_loop: Callable[[], bool]
) -> AsyncioHandler | TrioHandler:
    if on_own_loop():
        return TrioHandler(handler, None)
    if trio.lowlevel.in_trio_run():
        return TrioHandler(handler, trio.lowlevel.current_trio_token())
    try:
        return AsyncioHandler(handler, asyncio.get_running_loop())
    except RuntimeError:  # a plain thread
        return TrioHandler(handler, None)
