"""The classes to derive from: `Actor`, `InlineActor`, and what all three kinds have in common."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, TypeVar

import pykka
import trio

from brama.telemetry import ConfigError

from .cell import Cell
from .crew import Crew
from .errors import ActorDeadError, ActorError
from .exits import ExitReason, Normal, exit_reason
from .future import Future
from .host import Host, birth, default_host, host_of_newborn
from .latch import Latch
from .mailbox import Mailbox
from .monitors import Monitor
from .overflow import MailboxPolicy
from .ref import ActorRef, CarryingRef, PlainRef
from .replies import Reply
from .static import PlainHooks, PykkaActor
from .status import Status
from .tasks import BoundedTaskCell, TaskCell
from .timers import Timer, set_timer, timer_of
from .turns import BoundedInlineCell, InlineCell
from .via import Via

__all__ = ["Actor", "HostedActor", "InlineActor", "make"]

logger = logging.getLogger("pykka")

H = TypeVar("H", bound="HostedActor")

_HOOKS = ("on_start", "on_receive", "on_stop", "on_failure")


class HostedActor(PykkaActor):
    """What the three kinds of actors share. Derive from one of them, not from this.

    Everything of `pykka.Actor` holds: ``Cls.start(...)`` returns a ref, the ref offers ``tell``,
    ``ask``, ``stop`` and ``proxy``, the hooks run one at a time. On top of it: timers, monitors,
    exit reasons, and a system that the actor belongs to.
    """

    # Slots because an idle actor has to be small; the instance has a __dict__ for the user's
    # attributes.
    __slots__ = ("_actor_ref", "actor_inbox")

    error_policy: ClassVar[Literal["reply", "crash"]] = "reply"
    """What an exception does while an *ask* is handled. It goes to the asker, and with ``"reply"``
    the actor lives on (pykka), with ``"crash"`` it ends with `Crash` (OTP)."""

    mailbox: ClassVar[MailboxPolicy | None] = None
    """How many messages may wait, and what happens to one more; None for any number."""

    carries_context: ClassVar[bool | None] = None
    """Whether the sender's context variables, OpenTelemetry's current span among them, are those of
    the handler. None: while somebody is tracing. True: always. False: never. See
    `brama.actors.context`."""

    supervises: ClassVar[bool] = False
    """True for supervisors: told to stop, they do so before the rest of their mail."""

    in_actor_registry: ClassVar[bool] = False
    """True puts spawned and supervised actors of this class into ``pykka.ActorRegistry``, too,
    where those of ``Cls.start()`` always are. pykka takes an actor out by a search through all of
    them, so leave it off for classes with thousands of actors."""

    trap_exit: bool = False
    """Whether the end of a linked actor is an `ExitSignal` in the mailbox (True) or, unless that
    end was `Normal`, this actor's own end. Set it in the class, or on ``self`` at any time."""

    actor_inbox: Cell
    _actor_ref: ActorRef[Any]
    _cell_class: ClassVar[type[Cell]]
    _bounded_cell_class: ClassVar[type[Any]]
    _ref_class: ClassVar[type[ActorRef[Any]]] = ActorRef
    _async_hooks: ClassVar[bool] = False
    _own_on_start: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook in _HOOKS:
            is_async = inspect.iscoroutinefunction(getattr(cls, hook))
            if is_async != cls._async_hooks:
                raise TypeError(_wrong_kind(cls, hook, is_async))
        hook_on_start = getattr(cls, "on_start")  # noqa: B009  (the hooks are declared per kind)
        if cls.error_policy not in ("reply", "crash"):
            raise ConfigError(
                f"{cls.__name__}.error_policy", "'reply' or 'crash'", cls.error_policy
            )
        if not (cls.mailbox is None or isinstance(cls.mailbox, MailboxPolicy)):
            raise ConfigError(f"{cls.__name__}.mailbox", "a MailboxPolicy or None", cls.mailbox)
        if cls.carries_context not in (None, True, False):
            raise ConfigError(
                f"{cls.__name__}.carries_context", "None, True or False", cls.carries_context
            )
        cls._ref_class = _REFS[cls.carries_context]
        cls._own_on_start = not getattr(hook_on_start, "_brama_default", False) and (
            hook_on_start is not pykka.Actor.on_start
        )

    def _has_told_of(self, _error: BaseException) -> bool:
        """Whether somebody has logged already what this actor crashes by."""
        return False

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # Not pykka's __init__: its inbox and its threading.Event alone weigh more than a whole idle
        # actor may.
        host = host_of_newborn()
        policy, birth.mailbox = birth.mailbox, None  # an actor that ours makes in turn has its own
        if policy is None:
            policy = self.mailbox
        cell: Cell
        if policy is None or policy.limit is None:
            cell = self._cell_class(self, host)
        else:
            cell = self._bounded_cell_class(self, host)
            cell.bind(policy)  # type: ignore[attr-defined]  # what makes the class a bounded one
        self.actor_inbox = cell
        self._actor_ref = cell.ref = self._ref_class(type(self), cell)

    @property
    def actor_urn(self) -> str:
        """What tells this incarnation from every other actor; its ref has the same."""
        return self._actor_ref.actor_urn

    @property
    def actor_stopped(self) -> Latch:
        """Set once the actor takes no more messages; to be asked or waited for, as an event is."""
        return self.actor_inbox.latch

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:
        """Start an actor in the default system, registered in ``pykka.ActorRegistry``.

        The arguments go to the constructor, which runs in the calling thread. Returns at once;
        `on_start` runs before the first message. Actors of a supervisor are started by their
        `ChildSpec` instead, those of a particular system by ``system.spawn``; neither is in pykka's
        registry, nor is any supervisor: ``stop_all()`` would take trees apart from within.
        """
        host = default_host()
        host.ensure_running()
        cell = make(host, cls, args, kwargs)
        if not cls.supervises:
            cell.registered = True
            pykka.ActorRegistry.register(cell.ref)
        logger.debug("Starting %s", cell.actor)
        ref: ActorRef[Self] = cell.ref  # before the launch: it may end in there
        cell.launch()
        return ref

    @property
    def actor_ref(self) -> ActorRef[Self]:
        """The actor's own ref, to hand to others."""
        return self._actor_ref

    @property
    def actor_system(self) -> Host:
        """The system that this actor belongs to."""
        return self._cell.host

    # -- for use in hooks
    # -----------------------------------------------------------------------------

    def after(self, seconds: float | timedelta, message: Any, *, key: Hashable = None) -> Timer:
        """Send ``message`` to yourself in ``seconds``.

        Args:
            seconds: at least 0, in the time of the loop (virtual under ``trio.testing.MockClock``).
            message: anything; it arrives in `on_receive` like any other.
            key: a later timer with the same key replaces this one, and ``cancel_timer(key)`` finds
            it.

        The timer dies with the actor.
        """
        return set_timer(self._cell, seconds, message, every=False, key=key)

    def every(self, seconds: float | timedelta, message: Any, *, key: Hashable = None) -> Timer:
        """Send ``message`` to yourself every ``seconds``, for the first time in ``seconds``.

        Beats do not drift: each is due a whole number of intervals after the timer was set, however
        long the handling takes. Those that a stalled loop has missed are skipped, not made up for.
        """
        return set_timer(self._cell, seconds, message, every=True, key=key)

    def cancel_timer(self, key: Hashable) -> bool:
        """Cancel the timer with this key; returns whether there was one."""
        timer = timer_of(self._cell, key)
        return timer is not None and timer.cancel()

    def monitor(self, ref: ActorRef[Any] | Via) -> Monitor:
        """Watch another actor: exactly one `Down` follows, at once if it is dead already."""
        return self._cell.monitor(ref)

    def demonitor(self, monitor: Monitor, *, flush: bool = False) -> bool:
        """End a watch of your own; returns False when the target's end was noticed before.

        Args:
            flush: True also drops a `Down` that is in the mailbox already.

        Source: Erlang ``demonitor(Ref, [info, flush])``.
        """
        return monitor.cancel(flush=flush)

    def link(self, ref: ActorRef[Any] | Via) -> None:
        """Tie this actor's fate to another's: when one ends abnormally, so does the other.

        A second link between the two changes nothing. See `trap_exit` for the way to outlive the
        other, and `monitor` for watching it one-sidedly.

        Failure: a dead target is an exit signal with `NoProc`, after the present message.

        Source: Erlang ``link/1``.
        """
        self._cell.link(ref)

    def unlink(self, ref: ActorRef[Any] | Via) -> bool:
        """Undo `link`: the other's end has no effect here from now on; whether there was a link.

        An `ExitSignal` that is in the mailbox already still arrives.
        """
        return self._cell.unlink(ref)

    def spawn_link(
        self, cls: type[H], *args: Any, name: Hashable | None = None, **kwargs: Any
    ) -> ActorRef[H]:
        """Start an actor that nobody supervises, linked to this one before its `on_start` runs.

        The arguments go to its constructor; ``name`` is registered in the system's names. Returns
        at once. An `on_start` that raises is an exit signal.

        Source: Erlang ``spawn_link/3``.
        """
        host = self._cell.host
        cell = make(host, cls, args, kwargs)
        ref: ActorRef[H] = cell.ref
        if name is not None:
            host.names.register(name, ref)
        self._cell.link(ref)
        cell.launch()
        return ref

    def exit(self, reason: ExitReason | BaseException | None = None) -> None:
        """End by yourself, for ``reason`` (default `Normal`), once the current message is handled.

        An exception as the reason stands for the `Crash` by it, but `on_stop` runs all the same.

        What is still queued is not handled. A supervisor decides by the reason whether to start a
        successor; pykka's ``stop()`` in contrast is a request that nobody repairs.
        """
        self._cell.exiting = Normal() if reason is None else exit_reason(reason)
        self._cell.look_up()

    @classmethod
    def format_status(cls, status: Status) -> Status:
        """Hide what nobody should see, before a state or an exit reason is logged or shown.

        Example:
            >>> @classmethod
            ... def format_status(cls, status):
            ...     return status.but(state={**status.state, "password": "…"})

        A class method, because the actor may be gone by then. It is called from any thread, and
        must be quick. If it raises, nothing is shown.

        Source: ``GenServer.format_status/1``.
        """
        return status

    def continue_with(self, message: Any) -> None:
        """Handle ``message`` next, before anything that waits in the mailbox.

        The way to finish in peace what was begun: called in `on_start`, it lets the actor count as
        started at once, and the rest of its setting up is still done before any message. Several
        are handled in their order.

        Source: Erlang ``gen_server``, ``{continue, Term}``.
        """
        self._cell.go_on_with(message)

    def defer_reply(self) -> Reply:
        """Answer the present request later: the handler's own result is not the reply then.

        Example:
            >>> async def on_receive(self, order):
            ...     self.spawn(self._fetch, order, self.defer_reply())

        The reply may be given from anywhere, once. If the actor ends first, the request fails with
        `ActorDeadError`. While no request is handled, the reply goes nowhere.

        Source: Erlang ``gen_server:reply/2``.
        """
        return Reply(self._cell, self._cell.defer())

    # -- for the runtime
    # ------------------------------------------------------------------------------

    @property
    def _cell(self) -> Cell:
        return self.actor_inbox

    @staticmethod
    def _create_actor_inbox() -> Any:
        return Mailbox(lambda _mailbox: None)

    @staticmethod
    def _create_future() -> pykka.Future[Any]:
        return Future()

    def _start_actor_loop(self) -> None:
        self._cell.host.ensure_running()
        self._cell.launch()

    def _on_exited(self) -> None:
        """Called once, after the actor has ended, however that happened; must not raise."""


def _wrong_kind(cls: type, hook: str, is_async: bool) -> str:
    kind = next(base.__name__ for base in cls.__mro__ if base.__module__.startswith("brama.actors"))
    return (
        f"{cls.__qualname__}.{hook} is {'async' if is_async else 'a plain function'}, but "
        f"{cls.__name__} is an actor of the kind {kind}. The three kinds are: Actor (hooks are "
        "`async def` and run as a trio task), InlineActor (plain hooks that never block, run on "
        "the loop), BlockingActor (plain hooks that may block, run on a thread of their own)"
    )


_REFS: dict[bool | None, type[ActorRef[Any]]] = {
    None: ActorRef,
    True: CarryingRef,
    False: PlainRef,
}


def make(host: Host, cls: Any, args: Any, kwargs: Any, mailbox: MailboxPolicy | None = None) -> Any:
    """Construct an actor for ``host`` and return its cell, not launched.

    Args:
        mailbox: overrides the policy of the class.
    """
    if not (isinstance(cls, type) and issubclass(cls, HostedActor) and hasattr(cls, "_cell_class")):
        raise ConfigError("cls", "a class derived from Actor, InlineActor or BlockingActor", cls)
    before, birth.host, birth.mailbox = birth.host, host, mailbox
    try:
        actor = cls(*args, **kwargs)
    finally:
        birth.host, birth.mailbox = before, None
    cell = getattr(actor, "actor_inbox", None)
    assert cell is not None, (
        "Actor.__init__() have not been called. Did you forget to call super() in your override?"
    )
    return cell


class InlineActor(HostedActor, PlainHooks):
    """An actor with plain hooks that never block, run on the loop: the lightest kind.

    Example:
        >>> class Counter(InlineActor):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.seen = 0
        ...     def on_receive(self, message):
        ...         self.seen += 1
        ...         return self.seen
        >>> counter = Counter.start()
        >>> counter.ask("hello", timeout=5)
        1

    An idle one is an object, not a task and not a thread: 10 000 cost about 20 MiB. A hook that
    blocks holds up every actor of the system: use `Actor` to wait, `BlockingActor` to block.
    """

    __slots__ = ()
    _cell_class = InlineCell
    _bounded_cell_class = BoundedInlineCell


class Actor(HostedActor):
    """An actor with ``async def`` hooks, run on trio, one message at a time, also across awaits.

    Example:
        >>> class Pinger(Actor):
        ...     async def on_receive(self, message):
        ...         await trio.sleep(0.1)
        ...         return "pong"
        >>> Pinger.start().ask("ping", timeout=5)
        'pong'

    A task exists only while there is mail. Methods called through a proxy may be plain or ``async
    def``.

    Failure: a hook that is cancelled (by `kill`, or by a supervisor after the child's deadline)
    sees ``trio.Cancelled`` and must let it pass.
    """

    __slots__ = ()
    _async_hooks = True
    _cell_class = TaskCell
    _bounded_cell_class = BoundedTaskCell

    def spawn(
        self, async_fn: Callable[..., Awaitable[Any]], *args: Any, name: str | None = None
    ) -> trio.CancelScope:
        """Run ``async_fn(*args)`` beside the messages, as long as the actor lives at most.

        Example:
            >>> async def on_start(self):
            ...     self.spawn(self._read, self.stream)

        What it does to the actor's state happens between the lines of a handler that awaits.

        Args:
            async_fn: an async function, of the actor or not.
            name: for reports of a task that does not end.

        Returns:
            Its scope; ``scope.cancel()`` ends it alone. When the actor ends, it is cancelled; in
            good order that is before `on_stop` runs, which finds it gone.

        Failure: what it raises ends the actor with `Crash`, at once; `on_failure` does not run.

        Threads: from the actor's own hooks.
        """
        if not callable(async_fn):
            if inspect.iscoroutine(async_fn):
                async_fn.close()
            raise ConfigError("async_fn", "an async function, and not what it returns", async_fn)
        cell = self._cell
        assert isinstance(cell, TaskCell)
        if not cell.host.on_loop_thread():
            raise ActorError(
                f"{self} runs its tasks on trio's loop, and cannot spawn one from another thread: "
                "do so in a hook that is `async def`, or tell() it to"
            )
        if cell.state in ("stopping", "dead"):
            raise ActorDeadError(f"{self} is ending and cannot spawn a task")
        if cell.crew is None:
            cell.crew = Crew(cell)
        named = name or str(getattr(async_fn, "__name__", "a task"))
        return cell.crew.spawn(async_fn, args, named)

    async def on_start(self) -> None:
        """Run before the first message. If it raises, the actor has not started."""

    on_start._brama_default = True  # type: ignore[attr-defined]  # a mark

    async def on_receive(self, message: Any) -> Any:
        """Handle one message; what it returns is the reply if somebody asked."""
        pykka.Actor.on_receive(self, message)  # type: ignore[arg-type]  # logs that it is unexpected

    async def on_stop(self) -> None:
        """Run after the last message, when the actor stops in good order."""

    async def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Run instead of `on_stop` after an exception that nobody waited for."""
