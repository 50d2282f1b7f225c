"""References to actors: pykka's, with the death of the target decided by its mailbox."""

from __future__ import annotations

import time
import uuid
import weakref
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

import pykka
from pykka.messages import _ActorStop

from brama.telemetry import beacon

from .context import bring, captured
from .durations import patience
from .errors import ActorDeadError, WouldBlockError
from .future import Future
from .latch import Latch
from .lending import lender
from .mailbox import Ask, Carried, unwrapped
from .statistics import MailboxStatistics

__all__ = ["ActorRef", "CarryingRef", "PlainRef"]

A = TypeVar("A")


class Inbox(Protocol):
    """What a ref needs of the mailbox behind it."""

    def send(self, item: Any) -> bool: ...

    def send_ask(self, ask: Ask, timeout: float | None) -> bool: ...

    def offer(self, item: Any, *, first: bool = False) -> Future[Any] | bool: ...

    def refuse(self, item: Any, room: Future[Any]) -> None: ...

    def withdraw(self, room: Future[Any]) -> None: ...

    actor: Any

    @property
    def latch(self) -> Latch: ...

    @property
    def stopped(self) -> bool: ...

    def runs_here(self) -> bool: ...

    def works_here(self) -> bool: ...

    def statistics(self) -> MailboxStatistics: ...

    def obituary(self, ref: object) -> str: ...

    def swallow(self, ref: object, message: Any) -> bool: ...


class _Urn:
    """A URN that is drawn when somebody asks for it; few ask, and it is the 40th part of an actor.

    No data descriptor, so that from then on the instance's own is found without this. Two threads
    that ask at once are told the same: ``setdefault`` of a dict is one step.
    """

    def __get__(self, ref: Any, _owner: object = None) -> Any:
        return self if ref is None else vars(ref).setdefault("actor_urn", uuid.uuid4().urn)


class ActorRef(pykka.ActorRef[Any], Generic[A]):
    """The address of one incarnation of an actor; it dies with it.

    pykka's `ActorRef` in all that it offers. The differences: whether the target is alive is
    decided in the same locked step that queues the message, so no message and no ask is lost
    between the check and the put; futures are `brama.actors.Future`; after ``os.fork()`` a ref of
    the parent fails with a text that says so.

    Threads: any.

    Failure: `tell` to a dead actor raises `ActorDeadError`, `ask` fails its future with it.
    """

    __slots__ = ("actor_class", "actor_inbox")

    actor_inbox: Inbox  # type: ignore[assignment]  # wider than pykka says

    if not TYPE_CHECKING:
        actor_urn = _Urn()

    def __init__(self, actor_class: type[Any], inbox: Any) -> None:
        # Not pykka's __init__: it would read these back from the actor, which is being made right
        # now.
        self.actor_class = actor_class
        self.actor_inbox = inbox  # pyright: ignore[reportIncompatibleVariableOverride]  # wider

    @property
    def actor_stopped(self) -> Latch:  # type: ignore[override]  # wider than pykka says
        """Set once the actor takes no more messages; to be asked or waited for, as an event is."""
        return self.actor_inbox.latch

    @property
    def _actor_weakref(self) -> Callable[[], Any]:  # type: ignore[override]  # made when asked for
        actor = self.actor_inbox.actor
        return _nobody if actor is None else weakref.ref(actor)

    def __copy__(self) -> ActorRef[A]:
        return self

    def __deepcopy__(self, _memo: object) -> ActorRef[A]:
        return self  # what copies a message must not try to copy an actor

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self} lives in this process, and its ref cannot be pickled: give the actor a name, "
            "and send that"
        )

    def is_alive(self) -> bool:
        return not self.actor_inbox.stopped

    def tell(self, message: Any) -> None:
        """Send ``message``; it is queued when this returns.

        A full mailbox does by its `MailboxPolicy`, and raises nothing.

        Raises:
            ActorDeadError: the actor has ended.
        """
        if beacon.api._TRACER_PROVIDER is not None:
            message = bring(message)
        if not self.actor_inbox.send(message):
            self._refused(message)

    async def atell(self, message: Any, *, timeout: float | None = 10.0) -> bool:
        """`tell`, but waiting for room in a full mailbox that blocks; on trio or asyncio.

        Args:
            message: anything.
            timeout: seconds to wait for room; None waits as long as the actor lives.

        Returns:
            Whether it was queued in time; otherwise it is a dead letter. With any policy other than
            ``"block"``, True at once.

        Raises:
            ActorDeadError: the actor has ended, or ends meanwhile.
        """
        timeout = patience(timeout)
        message = self._brought(message)
        inbox = self.actor_inbox
        outcome = inbox.offer(message)
        if isinstance(outcome, bool):
            if not outcome:
                self._refused(message)
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                granted = await outcome.wait(left)
            except BaseException:
                inbox.withdraw(outcome)
                raise
            if not granted:
                inbox.refuse(message, outcome)
                return False
            again = inbox.offer(message, first=True)
            if isinstance(again, bool):
                if not again:
                    self._refused(message)
                return True
            outcome = again

    def _context(self) -> Context | None:
        """What the sender's context is to a request, by the class of the actor."""
        if beacon.api._TRACER_PROVIDER is not None:
            return captured()
        return None

    def _brought(self, message: Any) -> Any:
        """The message as `tell` would send it."""
        if beacon.api._TRACER_PROVIDER is not None:
            return bring(message)
        return message

    def _refused(self, message: Any) -> None:
        message = unwrapped(message)
        if not self.actor_inbox.swallow(self, message):
            self._dead()

    def _dead(self) -> NoReturn:
        raise ActorDeadError(self.actor_inbox.obituary(self))

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send ``message`` and wait for the reply, or get a `Future` of it with ``block=False``.

        Args:
            message: anything.
            block: False returns the future, which can be awaited on asyncio and trio.
            timeout: seconds to wait when blocking; None waits as long as the target lives. `call`
                is the same with a default.

        Raises:
            CallTimeoutError: no reply in time (a ``pykka.Timeout``). A later one is a dead letter.
            ActorDeadError: the actor has ended, or ends before it replies.
            MailboxFullError: its full mailbox drops the request.
            WouldBlockError: a blocking ask on the thread that runs the actors, or that an actor
                makes of itself: the reply could never come.
        """
        if type(timeout) is not float or not timeout >= 0.0:
            timeout = patience(timeout)
        if block:
            self._check_elsewhere()
        future: Future[Any] = Future()
        ask = Ask(message, future, self._context())
        if not block or timeout is None:
            if not self.actor_inbox.send_ask(ask, None):
                future.fail(ActorDeadError(self.actor_inbox.obituary(self)))
            return future.claim(None, self) if block else future
        # The wait for room in a full mailbox and the wait for the reply share the time.
        deadline = time.monotonic() + timeout
        if not self.actor_inbox.send_ask(ask, timeout):
            future.fail(ActorDeadError(self.actor_inbox.obituary(self)))
        return future.claim(max(0.0, deadline - time.monotonic()), self, of=timeout)

    def call(self, message: Any, timeout: float | None = 5.0) -> Any:
        """Send ``message``, wait for the reply and return it: `ask` with OTP's limit of 5 s.

        Args:
            message: anything.
            timeout: seconds to wait; None waits as long as the target lives.

        Raises:
            CallTimeoutError: no reply in time. A later one is counted as a dead letter.
            ActorDeadError: the actor has ended, or ends before it replies.
            MailboxFullError: its full mailbox drops the request.
            WouldBlockError: called where the reply would have to be made; nothing was sent.

        Source: Elixir ``GenServer.call/3``.
        """
        return self.ask(message, timeout=timeout)

    def _check_elsewhere(self) -> None:
        inbox = self.actor_inbox
        if (inbox.runs_here() or lender() is inbox) and self.is_alive():
            raise WouldBlockError(
                f"a call of {self} from the thread that runs it could never be answered: use "
                "'await ref.acall(…)' in an Actor, or tell() and handle the answer as a message"
            )

    async def acall(self, message: Any, timeout: float | None = 5.0) -> Any:
        """`call` for trio and asyncio, which it does not block.

        Raises: as `call`; `WouldBlockError` only where an actor calls itself.

        Failure: a cancelled caller stops waiting; the reply will be a dead letter.
        """
        inbox = self.actor_inbox
        if (inbox.works_here() or lender() is inbox) and self.is_alive():
            raise WouldBlockError(
                f"{self} has called itself, and would wait for the end of what it is doing: "
                "use tell() or continue_with()"
            )
        timeout = patience(timeout)
        return await self.ask(message, block=False).aclaim(timeout, self)

    def statistics(self) -> MailboxStatistics:
        """The figures of the actor's mailbox: what waits, what was handled, what was dropped.

        Threads: any; it stops nothing.
        """
        return self.actor_inbox.statistics()

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


class CarryingRef(ActorRef[A]):
    """The ref of an actor that wants each sender's context, whether anybody is tracing or not."""

    __slots__ = ()

    def tell(self, message: Any) -> None:
        """As `ActorRef.tell`."""
        message = self._brought(message)
        if not self.actor_inbox.send(message):
            self._refused(message)

    def _context(self) -> Context | None:
        return copy_context()

    def _brought(self, message: Any) -> Any:
        return Carried(message, copy_context())


class PlainRef(ActorRef[A]):
    """The ref of an actor that wants no sender's context."""

    __slots__ = ()

    def tell(self, message: Any) -> None:
        """As `ActorRef.tell`."""
        if not self.actor_inbox.send(message):
            self._refused(message)

    def _context(self) -> Context | None:
        return None

    def _brought(self, message: Any) -> Any:
        return message


def _nobody() -> None:
    """What is left of an actor that has ended."""
