"""The actors that deliver, one for each subscription, by where its handler runs.

Each takes events from the subscription's queue and calls the handler. A handler that raises
crashes its deliverer, which its supervisor starts anew: isolation, back-off and quarantine are the
supervisor's business, not this module's.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import trio

from brama.actors import Actor, Backoff, ChildSpec, InlineActor, Supervisor

from .bell import BELL
from .delivery import deliver, deliver_async
from .handler_actor import handler_class, hosted
from .inline import Inline
from .lingering import lingers
from .subscription import Subscription
from .target import AsyncioHandler, TrioHandler
from .workers import Workers

__all__ = ["INTENSITY", "HandlerSupervisor", "work_once"]

INTENSITY, PERIOD = 10, 60.0
"""Failures of a handler within so many seconds; by one more it is quarantined."""
BACKOFF = Backoff(min=0.05, max=5.0)


@attrs.frozen
class Finished:
    """To a deliverer: what ran outside of the loop has ended, by `error` if that is not None."""

    error: BaseException | None


def _is_told(subscription: Subscription, error: BaseException) -> bool:
    """Whether the subscription has said that its handler failed: not once more by pykka's line."""
    told, subscription.told = subscription.told, None  # an id may be had by another one later
    return told == id(error)


class InlineDeliverer(InlineActor):
    """Calls a handler that does not block, right on the loop."""

    def __init__(self, subscription: Subscription) -> None:
        super().__init__()
        self._subscription = subscription
        self._handler = subscription.handler.handler

    def _has_told_of(self, error: BaseException) -> bool:
        return _is_told(self._subscription, error)

    def on_start(self) -> None:
        self._subscription.deliverer = self.actor_ref
        self.actor_ref.tell(BELL)

    def on_receive(self, message: Any) -> None:
        subscription = self._subscription
        if lingers(self, subscription, message):
            return
        if deliver(subscription, self._handler):
            self.actor_ref.tell(BELL)
        elif subscription.lingers:
            lingers(self, subscription, None)


class LoopDeliverer(Actor):
    """Awaits an async handler on Brama's own loop."""

    def __init__(self, subscription: Subscription) -> None:
        super().__init__()
        self._subscription = subscription
        self._handler = subscription.handler.handler

    def _has_told_of(self, error: BaseException) -> bool:
        return _is_told(self._subscription, error)

    async def on_start(self) -> None:
        self._subscription.deliverer = self.actor_ref
        self.actor_ref.tell(BELL)

    async def on_receive(self, message: Any) -> None:
        if not lingers(self, self._subscription, message):
            await deliver_async(self._subscription, self._handler)
            lingers(self, self._subscription, None)


class OutsideDeliverer(InlineActor):
    """Has the handler called elsewhere: while that goes on, the subscription is `occupied`.

    What goes on there outlives this actor; a successor waits for its `Finished`, so that there are
    never two at once.
    """

    def __init__(self, subscription: Subscription) -> None:
        super().__init__()
        self._subscription = subscription

    def _has_told_of(self, error: BaseException) -> bool:
        return _is_told(self._subscription, error)

    def on_start(self) -> None:
        self._subscription.deliverer = self.actor_ref
        self.actor_ref.tell(BELL)

    def on_receive(self, message: Any) -> None:
        subscription = self._subscription
        if isinstance(message, Finished) and message.error is not None:
            raise message.error
        if subscription.closed:
            return
        # A bell may ring while the last run is ending, so look at the queue and not at the bell.
        if lingers(self, subscription, message):
            return
        if not subscription.occupied and subscription.waits:
            subscription.occupied = True
            self._begin(subscription)

    def _begin(self, subscription: Subscription) -> None:
        """Start a run elsewhere that ends with `_finish`."""
        raise NotImplementedError


def _finish(subscription: Subscription, error: BaseException | None) -> None:
    subscription.occupied = False
    subscription.tell(Finished(error))


class WorkerDeliverer(OutsideDeliverer):
    """Has a plain handler called on a worker thread."""

    def __init__(self, subscription: Subscription, workers: Workers) -> None:
        super().__init__(subscription)
        self._workers = workers

    def _begin(self, subscription: Subscription) -> None:
        self._workers.submit(partial(_work, subscription), subscription.name)


def _work(subscription: Subscription) -> None:
    error: BaseException | None = None
    try:
        deliver(subscription, subscription.handler)
    except BaseException as raised:  # noqa: BLE001 - reported to the deliverer, which crashes by it
        error = raised
    _finish(subscription, error)


def work_once(subscription: Subscription, workers: Workers) -> bool:
    """Have a plain handler called once more although its deliverer is no more.

    Returns:
        False if the handler is no plain one, or no thread may be started any more.
    """
    handler = subscription.handler
    if handler_class(handler) is not None or isinstance(
        handler, (Inline, AsyncioHandler, TrioHandler)
    ):
        return False
    subscription.occupied = True
    try:
        workers.submit(partial(_work, subscription), subscription.name)
    except RuntimeError:
        subscription.occupied = False
        return False
    return True


class Look:
    """To a deliverer: see whether the loop of the handler is still there."""


LOOK = Look()
LOOK_EVERY = 1.0


class ForeignDeliverer(OutsideDeliverer):
    """Has an async handler run on a loop of the user's, and looks whether that is still there."""

    def on_start(self) -> None:
        super().on_start()
        self.every(LOOK_EVERY, LOOK, key=LOOK)  # a loop ends without a word

    def on_receive(self, message: Any) -> None:
        if message is not LOOK:
            super().on_receive(message)
        elif (why := self._gone()) is not None:
            self._subscription.end(why)

    def _begin(self, subscription: Subscription) -> None:
        if not self._spawn(subscription):
            subscription.occupied = False
            subscription.end(self._gone() or "the loop that it was subscribed from has ended")

    def _spawn(self, subscription: Subscription) -> bool:
        """Have the loop deliver; False if it is gone."""
        raise NotImplementedError

    def _gone(self) -> str | None:
        """Why no handler will run there any more; None while it is there."""
        raise NotImplementedError


class AsyncioDeliverer(ForeignDeliverer):
    """Has an async handler run as a task of the asyncio loop it was subscribed from."""

    def _spawn(self, subscription: Subscription) -> bool:
        loop: asyncio.AbstractEventLoop = subscription.handler.loop
        try:
            loop.call_soon_threadsafe(
                _spawn_on_asyncio, subscription, context=contextvars.Context()
            )
        except RuntimeError:
            return False
        return True

    def _gone(self) -> str | None:
        if self._subscription.handler.loop.is_closed():
            return "the asyncio loop that it was subscribed from is closed"
        return None


_tasks: set[asyncio.Task[None]] = set()  # asyncio itself keeps tasks by weak references only


def _spawn_on_asyncio(subscription: Subscription) -> None:
    task = asyncio.get_running_loop().create_task(
        _run_elsewhere(subscription, lambda: asyncio.sleep(0)), name=f"brama {subscription.name}"
    )
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


class TrioDeliverer(ForeignDeliverer):
    """Has an async handler run as a system task of the trio run it was subscribed from."""

    def _spawn(self, subscription: Subscription) -> bool:
        return self._run_soon(_spawn_on_trio, subscription)

    def _gone(self) -> str | None:
        if self._run_soon(_look):
            return None
        return "the trio run that it was subscribed from has ended"

    def _run_soon(self, function: Callable[..., object], *args: object) -> bool:
        try:
            self._subscription.handler.token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            return False
        return True


def _look() -> None:
    """Does nothing, on a loop that is there."""


def _spawn_on_trio(subscription: Subscription) -> None:
    trio.lowlevel.spawn_system_task(
        _run_elsewhere,
        subscription,
        trio.lowlevel.checkpoint,
        name=f"brama {subscription.name}",
        context=contextvars.Context(),
    )


async def _run_elsewhere(
    subscription: Subscription, checkpoint: Callable[[], Awaitable[Any]]
) -> None:
    error: BaseException | None = None
    try:
        await deliver_async(subscription, subscription.handler.handler, checkpoint)
    except Exception as raised:  # noqa: BLE001 - anything else ends the loop we are a guest of
        error = raised
    finally:
        _finish(subscription, error)


class HandlerSupervisor(Supervisor):
    """The small supervisor that each handler has to itself.

    A handler that raises is restarted after a moment that grows from 50 ms to 5 s; one that raised
    more than ten times within a minute is quarantined, alone.
    """

    def __init__(self, subscription: Subscription, workers: Workers) -> None:
        super().__init__(
            [_spec(subscription, workers)], intensity=INTENSITY, period=PERIOD, backoff=BACKOFF
        )
        self._subscription = subscription
        self._reports.level = logging.DEBUG  # the subscription tells of its handler, by its name

    def on_exhausted(self) -> None:
        self._subscription.quarantine()


def _spec(subscription: Subscription, workers: Workers) -> ChildSpec:
    handler = subscription.handler
    kind: Any
    arguments: tuple[Any, ...] = (subscription,)
    if handler_class(handler) is not None:
        kind, arguments = hosted(handler, subscription), ()
    elif isinstance(handler, Inline):
        kind = InlineDeliverer
    elif isinstance(handler, AsyncioHandler):
        kind = AsyncioDeliverer
    elif isinstance(handler, TrioHandler):
        kind = LoopDeliverer if handler.token is None else TrioDeliverer
    else:
        kind, arguments = WorkerDeliverer, (subscription, workers)
    return ChildSpec("handler", kind, arguments)
