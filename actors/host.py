"""What an actor sees of the system that hosts it, and how a new actor finds its host.

The port between the two halves of this package: cells, actors and supervisors are written against
`Host`; `ActorSystem` is the one that stands behind it. It exists so that the halves do not import
each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, Protocol

from .dead_letters import DeadLetters
from .names import Names
from .overflow import MailboxPolicy
from .ref import ActorRef
from .scheduler import Scheduler
from .timers import Timers

__all__ = ["Host", "birth", "default_host", "host_of_newborn", "provide_default"]


class Complaints(Protocol):
    """Where actors say what is wrong; behind it stand the `Faults` of `health`."""

    def report(self, key: object, text: str) -> None: ...

    def forget(self, key: object) -> None: ...

    def left_behind(self, cell: Any, who: str) -> None: ...


class Host(Protocol):
    """The system as its actors see it: `Actor.actor_system`."""

    @property
    def name(self) -> str:
        """Of the system, and of its root supervisor."""
        ...

    @property
    def names(self) -> Names:
        """Its registry: who is found under which name."""
        ...

    @property
    def dead_letters(self) -> DeadLetters:
        """What reached nobody."""
        ...

    @property
    def timers(self) -> Timers:
        """What is to be sent later."""
        ...

    @property
    def scheduler(self) -> Scheduler:
        """Gives the actors their turns on the loop."""
        ...

    @property
    def faults(self) -> Complaints:
        """What is wrong, for `ActorSystem.health`."""
        ...

    @property
    def cells(self) -> dict[Any, None]:
        """Every actor that lives."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the interpreter's exit has stopped it for good."""
        ...

    @property
    def deserted(self) -> bool:
        """Whether nobody is there to run an actor."""
        ...

    def ensure_running(self) -> None:
        """Start it if this has not happened yet."""
        ...

    def on_loop_thread(self) -> bool:
        """Whether the caller is where nothing may block."""
        ...

    def call_soon(self, fn: Callable[..., object], *args: object) -> bool:
        """Call it on the loop soon; False if there is none."""
        ...

    def now(self) -> float:
        """The time by the clock of the loop."""
        ...

    def spawn(
        self, cls: type[Any], *args: Any, name: Hashable | None = None, **kwargs: Any
    ) -> ActorRef[Any]:
        """Start an actor that nobody supervises."""
        ...


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
