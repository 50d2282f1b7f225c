"""References to actors: pykka's, with the death of the target decided by its mailbox."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

import pykka
from pykka.messages import _ActorStop

from .errors import ActorDeadError
from .future import Future
from .mailbox import Ask

if TYPE_CHECKING:
    from .latch import Latch

__all__ = ["ActorRef"]

A = TypeVar("A")


class Inbox(Protocol):
    """What a ref needs of the mailbox behind it."""

    def send(self, item: Any) -> bool: ...

    def obituary(self, ref: object) -> str: ...

    def swallow(self, ref: object, message: Any) -> bool: ...


class ActorRef(pykka.ActorRef[Any], Generic[A]):
    """The address of one incarnation of an actor; it dies with it.

    pykka's `ActorRef` in all that it offers. The differences: whether the target is alive is
    decided in the same locked step that queues the message, so no message and no ask is lost
    between the check and the put; futures are `brama.actors.Future`; after ``os.fork()`` a ref of
    the parent fails with a text that says so.

    Threads: any.

    Failure: `tell` to a dead actor raises `ActorDeadError`, `ask` fails its future with it.
    """

    __slots__ = ("_actor_weakref", "actor_class", "actor_inbox", "actor_stopped", "actor_urn")

    actor_inbox: Inbox  # type: ignore[assignment]  # wider than pykka says

    def __init__(self, actor: Any, inbox: Any, stopped: Latch) -> None:
        # Not pykka's __init__: it would read these back from the actor, which is being made right
        # now.
        self._actor_weakref = weakref.ref(actor)
        self.actor_class = type(actor)
        self.actor_urn: str = actor.actor_urn
        self.actor_inbox = inbox  # pyright: ignore[reportIncompatibleVariableOverride]
        self.actor_stopped = stopped  # type: ignore[assignment]  # wider than pykka says

    def is_alive(self) -> bool:
        return not self.actor_stopped.is_set()

    def tell(self, message: Any) -> None:
        """Send ``message``; it is queued when this returns.

        Raises:
            ActorDeadError: the actor has ended.
        """
        if not self.actor_inbox.send(message):
            self._refused(message)

    def _refused(self, message: Any) -> None:
        if not self.actor_inbox.swallow(self, message):
            self._dead()

    def _dead(self) -> NoReturn:
        raise ActorDeadError(self.actor_inbox.obituary(self))

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send ``message`` and wait for the reply, or get a `Future` of it with ``block=False``.

        Args:
            message: anything.
            block: False returns the future, which can be awaited on asyncio and trio.
            timeout: seconds to wait when blocking; None waits as long as the target lives.

        Raises:
            pykka.Timeout: no reply in time.
            ActorDeadError: the actor has ended, or ends before it replies.
            WouldBlockError: a blocking ask on the thread that runs the actors.
        """
        future: Future[Any] = Future()
        if not self.actor_inbox.send(Ask(message, future)):
            future.fail(ActorDeadError(self.actor_inbox.obituary(self)))
        return future.get(timeout=timeout) if block else future

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """Ask the actor to stop once it has handled what is queued; True if it was alive."""
        asked: Future[Any] = self.ask(_ActorStop(), block=False)

        def stopped(timeout: float | None) -> bool:
            try:
                asked.get(timeout=timeout)
            except pykka.ActorDeadError:
                return False
            return True

        result = asked.derive(stopped)
        return result.get(timeout=timeout) if block else result
