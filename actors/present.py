"""Which actor is running here: for code that an actor calls and that was not told."""

from __future__ import annotations

import sys
from types import FrameType

import pykka

from .whose import running_in

__all__ = ["present_actor"]

_LOOP = getattr(pykka.Actor, "_actor_loop", None)


def present_actor() -> pykka.ActorRef[pykka.Actor] | None:
    """The ref of the actor whose hook calls this, however deep; None outside of one.

    So do the tasks that it has begun by `Actor.spawn`. It looks at the stack: in a thread or
    another task that the hook has started there is no actor. pykka's own actors are found, too.

    Threads: any.
    """
    frame = sys._getframe(1)
    running = running_in(frame)
    if running is not None:
        ref: pykka.ActorRef[pykka.Actor] | None = getattr(running.cell, "ref", None)
        return ref
    code = getattr(_LOOP, "__code__", None)
    at: FrameType | None = frame
    while at is not None and code is not None:
        if at.f_code is code:
            actor = at.f_locals.get("self")
            return actor.actor_ref if isinstance(actor, pykka.Actor) else None
        at = at.f_back
    return None
