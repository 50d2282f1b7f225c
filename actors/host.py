"""What an actor sees of the system that hosts it, and how a new actor finds its host.

The port between the two halves of this package: cells, actors and supervisors are written against
`Host`; `ActorSystem` is the one that stands behind it. It exists so that the halves do not import
each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from contextvars import Context
from typing import Any, Protocol

from .dead_letters import DeadLetters
from .names import Names
from .overflow import MailboxPolicy
from .ref import ActorRef
from .timers import Timers

__all__ = ["Host", "birth", "default_host", "host_of_newborn", "provide_default"]


class Host(Protocol):
    """The system as its actors see it: `Actor.actor_system`."""

    @property
    def name(self) -> str: ...

    @property
    def names(self) -> Names: ...

    @property
    def dead_letters(self) -> DeadLetters: ...

    @property
    def timers(self) -> Timers: ...

    @property
    def cells(self) -> dict[Any, None]: ...

    @property
    def finished(self) -> bool: ...

    @property
    def deserted(self) -> bool: ...

    @property
    def schedule(self) -> Callable[[Any], None]: ...

    def ensure_running(self) -> None: ...

    def on_loop_thread(self) -> bool: ...

    def call_soon(self, fn: Callable[..., object], *args: object) -> bool: ...

    def spawn_task(self, async_fn: Callable[[], Any], context: Context, name: str) -> None: ...

    def task_ended(self) -> None: ...

    def now(self) -> float: ...

    def report_unstoppable(self, cell: Any, who: str) -> None: ...

    def report_fault(self, key: object, text: str) -> None: ...

    def forget_fault(self, key: object) -> None: ...

    def spawn(
        self, cls: type[Any], *args: Any, name: Hashable | None = None, **kwargs: Any
    ) -> ActorRef[Any]: ...


class _Birth(threading.local):
    """What the actor that the calling thread is constructing right now has to know."""

    host: Host | None = None
    mailbox: MailboxPolicy | None = None


# A thread-local and not an argument: the arguments of `start()` belong to the user's constructor.
birth = _Birth()

_default: Callable[[], Host] | None = None


def provide_default(factory: Callable[[], Host]) -> None:
    """Say where actors go that were started by ``Cls.start()`` and not through a system."""
    global _default
    _default = factory


def host_of_newborn() -> Host:
    """The host of the actor that is being constructed on this thread."""
    return birth.host if birth.host is not None else default_host()


def default_host() -> Host:
    """The host of actors that belong to no system in particular."""
    assert _default is not None, "brama.actors was not imported as a package"
    return _default()
