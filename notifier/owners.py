"""Who subscribes: so that nobody ends the subscriptions of another."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Hashable
from typing import Any

import pykka
import trio

from brama.actors import present_actor

from .delivering import delivering
from .handler_actor import handler_class

__all__ = ["lives", "present_deliverer", "present_owner"]


def present_owner() -> Hashable:
    """The caller: an actor, a handler, a task, or a thread; equal whenever it is the same."""
    actor = present_deliverer()
    if actor is not None:
        return "actor", actor.actor_urn
    subscription: Hashable | None = delivering.get()
    if subscription is not None:
        return subscription
    actor = present_actor()
    if actor is not None:
        return "actor", actor.actor_urn
    return weakref.ref(_task() or threading.current_thread())


def lives(owner: Hashable) -> bool:
    """Whether an owner may still end what it has subscribed."""
    if not isinstance(owner, weakref.ref):
        return True
    found: Any = owner()
    if isinstance(found, threading.Thread):
        return found.is_alive()
    return found is not None and not (isinstance(found, asyncio.Task) and found.done())


def present_deliverer() -> pykka.ActorRef[Any] | None:
    """The `HandlerActor` that runs here, be it in a worker thread."""
    subscription = delivering.get()
    if subscription is None or handler_class(subscription.handler) is None:
        return None
    deliverer = subscription.deliverer
    return deliverer if isinstance(deliverer, pykka.ActorRef) else None


def _task() -> object | None:
    if trio.lowlevel.in_trio_run():
        try:
            return trio.lowlevel.current_task()
        except RuntimeError:  # in a callback of the run
            return None
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None
