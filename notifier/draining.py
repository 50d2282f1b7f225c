"""What waits for handlers outside of the loop, when the tree is down and nobody begins a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from .deliverers import INTENSITY
from .delivering import delivering
from .subscription import Subscription

__all__ = ["drain"]

LOOK_EVERY = 0.002


def drain(
    subscriptions: Iterable[Subscription],
    run: Callable[[Subscription], bool],
    deadline: float,
) -> None:
    """Wait until their handlers have had what waits for them, or until the deadline.

    Durable ones are left out: what they have not had comes to them the next time. One whose handler
    fails more often than its supervisor would restart it is quarantined, as that would do.

    Args:
        subscriptions: those of a system whose tree is down.
        run: begins a run of a handler that belongs on a worker thread; False: it cannot.
        deadline: on the clock of `time.monotonic`.

    Threads: any but that of the tree's loop. It does not wait for a loop that it holds up itself,
        nor for the handler that it is called by.
    """
    for one in subscriptions:
        if one.durable is not None or one.target.needs_caller() or one is delivering.get():
            continue
        one.flush()
        allowed = one.failures + INTENSITY
        while (one.occupied or one.waits) and time.monotonic() < deadline:
            if one.failures > allowed:
                one.quarantine()
                break
            if not one.occupied and not run(one):
                break
            time.sleep(LOOK_EVERY)  # the end of a run is told to an actor, which is no more
