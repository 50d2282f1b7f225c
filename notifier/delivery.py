"""How one delivery is made: the handler's invocation and the loop around it, in both colours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from brama.circuits import Event
from brama.telemetry import Process, process, watching

from .batching import Batch
from .bell import BELL
from .delivering import delivering
from .entering import calls_handlers
from .errors import TargetGone
from .kinds import refuse_unrun
from .subscription import Subscription

__all__ = ["deliver", "deliver_async"]

TURN = 256
"""Deliveries that one turn makes before others get one."""


def processing(subscription: Subscription, event: Event | Batch) -> Process:
    """The span and the times around one invocation; nothing when nobody looks."""
    first = event[0] if isinstance(event, Batch) else event
    lag = batch = None
    if event.trace is not None or watching.deliveries:
        now = time.time()
        lag = now - first.timestamp.timestamp()
        if isinstance(event, Batch) and len(event) > 1:
            batch = [(one.trace, now - one.timestamp.timestamp()) for one in event]
    return process(
        event=first.event,
        traceparent=first.trace,
        subscription=subscription.name,
        connection=first.connection,
        scope=first.scope,
        n=first.n,
        redelivered=first.redelivered,
        lag=lag,
        batch=batch,
    )


def deliver(subscription: Subscription, handler: Callable[[Event], object]) -> bool:
    """Deliver up to a turn's worth; whether there is more.

    Raises:
        BaseException: what the handler raised, after the subscription has been told.
    """
    token = delivering.set(subscription)
    try:
        return _deliver(subscription, handler)
    except TargetGone as gone:
        subscription.pause()
        subscription.end(str(gone))
        return False
    finally:
        delivering.reset(token)


@calls_handlers
def _deliver(subscription: Subscription, handler: Callable[[Event], object]) -> bool:
    event = subscription.take()
    following = subscription.next
    unwatched = not watching.deliveries  # looked at once in a turn
    made = 0
    while event is not None:
        try:
            if unwatched and event.trace is None:
                answer = handler(event)
            else:
                with processing(subscription, event):
                    answer = handler(event)
            if answer is not None:
                refuse_unrun(answer)
        except TargetGone:
            raise
        except BaseException as error:
            subscription.failed(error)
            raise
        made += 1
        if made == TURN:
            return subscription.finish()
        event = following()
    return False


async def deliver_async(
    subscription: Subscription,
    handler: Callable[[Event], Awaitable[object]],
    checkpoint: Callable[[], Awaitable[Any]] | None = None,
) -> None:
    """Deliver until nothing is left.

    Args:
        subscription: where the events come from.
        handler: awaited with each of them.
        checkpoint: lets others run between turns, on a loop of the user's. None is Brama's own
            loop, where a filter, being a plain function of the user's, goes to a worker thread.

    Raises:
        BaseException: what the handler raised, after the subscription has been told. A
            cancellation is no failure of the handler: the event comes again.
    """
    place = None if checkpoint is not None else trio.lowlevel.current_trio_token()
    if place is not None and subscription.held is not None and subscription.held[0] is place:
        return  # a predecessor was killed and does not go yet; it rings when it has
    hold = None if place is None else (place, subscription.deliverer)
    subscription.held = hold
    token = delivering.set(subscription)
    try:
        await _deliver_async(subscription, handler, checkpoint)
    except TargetGone as gone:
        subscription.pause()
        subscription.end(str(gone))
    finally:
        if delivering.get() is subscription:  # a collector may close this anywhere
            delivering.reset(token)
        if hold is not None and subscription.held is hold:
            subscription.held = None
            if subscription.deliverer is not hold[1]:  # a successor, who has found it held
                subscription.tell(BELL)


@calls_handlers
async def _deliver_async(
    subscription: Subscription,
    handler: Callable[[Event], Awaitable[object]],
    checkpoint: Callable[[], Awaitable[Any]] | None,
) -> None:
    offload = checkpoint is None and subscription.filter is not None

    async def step(advance: Callable[[], Event | None]) -> Event | None:
        if not offload:
            return advance()
        event = await trio.to_thread.run_sync(advance)
        # From now on it is this thread that delivers, and it may have been closed on the way here.
        if event is not None and not subscription.begin():
            subscription.pause()
            return None
        return event

    event = await step(subscription.take)
    made = 0
    while event is not None:
        try:
            with processing(subscription, event):
                answer = await handler(event)
            if answer is not None:
                refuse_unrun(answer)
        except (trio.Cancelled, asyncio.CancelledError) as error:
            if _is_cancelled(error):
                subscription.pause()
                raise
            # A failure like any other, and none that a loop would take for an order to end.
            failure = RuntimeError("the handler was not cancelled, but raised a cancellation")
            failure.__cause__ = error
            subscription.failed(failure)
            raise failure from error
        except GeneratorExit:
            # The loop died, and the collector found what ran there. By now a successor may be at
            # work, so the subscription is not touched; it looks at the unfinished event first.
            raise
        except TargetGone:
            raise
        except BaseException as error:
            subscription.failed(error)
            raise
        made += 1
        if made % TURN:
            event = await step(subscription.next)
        elif subscription.finish():
            await (checkpoint or trio.lowlevel.checkpoint)()
            event = await step(subscription.take)
        else:
            return


def _is_cancelled(error: BaseException) -> bool:
    """Whether this very task was cancelled, and not one that the handler awaited.

    On trio a cancellation cannot come from elsewhere.
    """
    if isinstance(error, trio.Cancelled):
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:  # not on asyncio at all
        return False
    return task is not None and task.cancelling() > 0
