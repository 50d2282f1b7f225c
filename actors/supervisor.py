"""The supervisor: starts its children in order, replaces those that fail, ends them in reverse."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypeVar

from brama.telemetry import ConfigError, takes_only, unknown

from .backoff import Backoff
from .child import QUARANTINED, RESTARTING, STOPPED, Child, Exited, Resume, Retry
from .children import ChildSpec
from .errors import ActorStartError
from .exits import Crash, ExitReason, Shutdown
from .intensity import RESTART_WORDS, Intensity
from .links import ExitSignal
from .parent import Parent
from .reports import Cause, cause_of
from .status import reason_text
from .strategy import (
    AutoShutdown,
    Restart,
    Strategy,
    affected,
    ends_the_supervisor,
    wants_restart,
)
from .supervise import (
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)

__all__ = ["Supervisor"]

E = TypeVar("E", bound=StrEnum)


@takes_only("an option of a supervisor", RESTART_WORDS)
class Supervisor(Parent):
    """Keeps a fixed set of children alive.

    Example:
        >>> class Prices(Supervisor):
        ...     def __init__(self):
        ...         super().__init__(
        ...             [ChildSpec("store", Store), ChildSpec("feed", Feed, restart="transient")],
        ...             strategy="rest_for_one",
        ...         )

    Options:
        children: specs in start order; a class that needs no arguments may stand for its spec.
        strategy: `Strategy`, ``one_for_one`` by default.
        intensity, period: at most this many restarts (3) in so many seconds (5.0); one more, and
            the supervisor ends its children and itself with
            ``Shutdown("restart intensity exceeded")``, which is its own supervisor's matter then.
        backoff: None restarts at once, as OTP does; a `Backoff` waits before each restart.
        auto_shutdown: `AutoShutdown`, ``never`` by default. With ``any_significant`` it ends, for
            ``Shutdown("auto_shutdown")``, when the first of its significant children has ended by
            itself and is not restarted; with ``all_significant`` when the last one has. What the
            supervisor itself has ended does not count. Such a supervisor should not be permanent.
        quarantine: False. True counts intensity and period for each child by itself; the child
            that exceeds it is set aside and reported (log, ``health()``, hook bus), while the
            supervisor and all others go on. Only with ``one_for_one``. `restart_child` brings it
            back.

    Order: children start in the order of their specs, each once the one before has acknowledged
    (its `on_start` has run), and end in reverse, one after the other, each within its ``shutdown``.

    Failure: a child that does not start takes those before it down, in reverse, and the supervisor
    does not start (`ActorStartError`). Only at a restart is it tried again, each try counting for
    the intensity. However a supervisor ends, none of its children outlives it.

    Requests come through the functions of `brama.actors.supervise`.

    Source: Erlang/OTP ``supervisor``; intensity and period are Elixir's defaults. Back-off and
    quarantine are not OTP's.
    """

    def __init__(
        self,
        children: Iterable[ChildSpec | type[Any]] = (),
        *,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        intensity: int = 3,
        period: float | timedelta = 5.0,
        backoff: Backoff | None = None,
        auto_shutdown: AutoShutdown | str = AutoShutdown.NEVER,
        quarantine: bool = False,
    ) -> None:
        self._strategy = _one_of("strategy", strategy, Strategy)
        self._auto_shutdown = _one_of("auto_shutdown", auto_shutdown, AutoShutdown)
        self._intensity = Intensity(intensity, period)
        if backoff is not None and not isinstance(backoff, Backoff):
            raise ConfigError("backoff", "a Backoff, or None", backoff)
        self._backoff = backoff
        if not isinstance(quarantine, bool):
            raise ConfigError("quarantine", "True or False", quarantine)
        if quarantine and self._strategy is not Strategy.ONE_FOR_ONE:
            raise ConfigError("quarantine", f"False with the strategy {self._strategy}", quarantine)
        self._quarantine = quarantine
        super().__init__(children, str(self._strategy))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook in ("on_child_exit", "on_exhausted", "on_quarantine"):
            if inspect.iscoroutinefunction(getattr(cls, hook)):
                raise TypeError(
                    f"{cls.__qualname__}.{hook} is async, and nobody would await it: make it a "
                    "plain function, and tell() or spawn() from there what takes time"
                )

    # -- for subclasses
    # -------------------------------------------------------------------------------

    def on_child_exit(self, spec: ChildSpec, reason: ExitReason) -> None:
        """Called when a child has ended by itself, before the decision about its restart.

        What it raises is logged and changes nothing; so for the next two.
        """

    def on_exhausted(self) -> None:
        """Called when the restart intensity is exceeded, before the children are ended."""

    def on_quarantine(self, spec: ChildSpec, reason: str) -> None:
        """Called when a child is set aside; ``reason`` is the text of its last end."""

    # -- messages
    # -------------------------------------------------------------------------------------

    async def on_receive(self, message: Any) -> Any:
        if message.__class__ is ExitSignal:
            return None  # of an actor that is none of its children: OTP's ignores it, too
        handler = _HANDLERS.get(message.__class__)
        if handler is None:
            return await super().on_receive(message)
        return await handler(self, message)

    def _check_spec(self, spec: ChildSpec) -> None:
        if spec.significant and self._auto_shutdown is AutoShutdown.NEVER:
            raise ConfigError(
                "ChildSpec.significant",
                "False in a supervisor that has auto_shutdown='never'",
                spec.significant,
            )

    def _check_actor(self, spec: ChildSpec, actor: Any) -> None:
        if (
            isinstance(actor, Supervisor)
            and spec.restart is Restart.PERMANENT
            and actor._auto_shutdown is not AutoShutdown.NEVER
        ):
            self._reports.never_for_good(spec)

    # -- exits
    # ----------------------------------------------------------------------------------------

    async def _on_exited_child(self, exited: Exited) -> None:
        child = exited.child
        if child.cell is not exited.cell:
            return  # an incarnation that we ended ourselves
        reason, spec = exited.reason, child.spec
        child.cell = child.reason = None
        child.status = STOPPED
        child.ended = self.actor_system.now()
        child.last_exit = reason_text(spec.start, reason)
        if self._ending:
            return
        if exited.cell.by_stop:
            # pykka's stop() on a supervised child is OTP's terminate_child, so that
            # ActorRegistry.stop_all() and the tree do not work against each other.
            if self._forgets(spec):
                self._children.drop(child)
            return
        self._tell(self.on_child_exit, spec, reason)
        if wants_restart(spec.restart, reason):
            if self._backoff is not None and child.ended - child.since >= self._backoff.reset_after:
                child.failures = 0
            await self._restart(child, reason)
            return
        if self._forgets(spec):
            self._children.drop(child)
        others = spec.significant and any(
            one.spec.significant and (one.cell is not None or one.status is RESTARTING)
            for one in self._children
        )
        if ends_the_supervisor(self._auto_shutdown, spec.significant, others):
            self._reports.auto_shutdown(child)
            self.exit(Shutdown("auto_shutdown"))

    @property
    def _ending(self) -> bool:
        """Whether it has decided to end, and merely has not come to it."""
        return self._cell.exiting is not None

    async def _restart(self, child: Child, reason: ExitReason | None = None) -> None:
        """Count a restart, and bring the child and whom the strategy adds up again."""
        intensity = self._intensity
        if self._quarantine:
            if child.intensity is None:
                child.intensity = Intensity(intensity.intensity, intensity.period)
            intensity = child.intensity
        now = self.actor_system.now()
        if not intensity.allows(now):
            if self._quarantine:
                self._set_aside(child, intensity, reason)
            else:
                child.status = STOPPED
                self._reports.exhausted(child, intensity, reason, now)
                self._tell(self.on_exhausted)
                self.exit(Shutdown("restart intensity exceeded"))
            return
        delay = None
        if self._backoff is not None:
            child.failures += 1
            # Jitter needs no secure randomness.
            delay = self._backoff.delay(child.failures, random.random)
        self._reports.will_restart(child, delay)
        if delay is None:
            await self._bring_up(child, cause_of(reason))
            return
        # The others of the group end now and not after the wait: they must not work meanwhile
        # with a neighbour that is not there.
        await self._take_down(self._group(child))
        child.status = RESTARTING
        # A timer and not a sleep: the mailbox goes on being served.
        self.after(delay, Resume(child, cause_of(reason)), key=child)

    def _group(self, child: Child) -> Sequence[Child]:
        if self._strategy is Strategy.ONE_FOR_ONE:
            return (child,)  # without a look at all the others, who may be many
        return affected(self._strategy, list(self._children), child)

    async def _take_down(self, group: Sequence[Child]) -> None:
        for one in reversed(group):
            await self._end([one])
            if one.spec.restart is Restart.TEMPORARY:
                self._children.drop(one)

    async def _bring_up(self, child: Child, cause: Cause) -> None:
        group = self._group(child)
        await self._take_down(group)
        # The whole group, also who had ended quietly or was terminated, as in OTP.
        for one in group:
            if one not in self._children:
                continue  # a temporary one
            ended = one.ended
            try:
                ref = await self._start(one)
            except ActorStartError as error:
                if isinstance(error.__cause__, BaseException):
                    one.last_exit = reason_text(one.spec.start, Crash(error.__cause__))
                self._reports.restart_failed(one)
                one.status = RESTARTING
                one.ended = ended
                # Through the mailbox, so that requests and an order to end get their turn first.
                self._cell.send(Retry(one))
                return
            if ref is not None:
                one.restarts += 1
                about = cause if one is child else cause_of(None)
                self._reports.restarted(one, about, one.since - ended)

    async def _on_retry(self, retry: Retry) -> None:
        if self._still_waits(retry.child):
            await self._restart(retry.child)

    async def _on_resume(self, resume: Resume) -> None:
        if self._still_waits(resume.child):
            await self._bring_up(resume.child, resume.cause)

    def _still_waits(self, child: Child) -> bool:
        """False if it was terminated, deleted or replaced meanwhile, or nothing matters now."""
        return child.status is RESTARTING and child in self._children and not self._ending

    def _set_aside(self, child: Child, intensity: Intensity, reason: ExitReason | None) -> None:
        child.status = QUARANTINED
        text = child.last_exit or ""
        self._reports.quarantined(child, intensity, reason, self.actor_system.now())
        self.actor_system.faults.report(
            child, f"child {child.spec.id!r} of {self} is quarantined: {text}"
        )
        self._tell(self.on_quarantine, child.spec, text)

    def _tell(self, hook: Callable[..., object], *args: object) -> None:
        try:
            hook(*args)
        except Exception:  # noqa: BLE001  (an observer's fault must not end all the children)
            self._reports.hook_failed(hook.__name__)


def _one_of(option: str, value: Any, kind: type[E]) -> E:
    try:
        return kind(value)
    except ValueError:
        raise unknown(option, value, [str(one) for one in kind]) from None


async def _start_child(supervisor: Supervisor, request: StartChild) -> Any:
    return await supervisor._on_start_child(request)  # a subclass may have its own


_HANDLERS: dict[type, Any] = {
    Exited: Supervisor._on_exited_child,
    Retry: Supervisor._on_retry,
    Resume: Supervisor._on_resume,
    StartChild: _start_child,
    TerminateChild: Supervisor._on_terminate_child,
    RestartChild: Supervisor._on_restart_child,
    DeleteChild: Supervisor._on_delete_child,
    GetChildSpec: Supervisor._on_get_childspec,
    WhichChildren: Supervisor._on_which_children,
    CountChildren: Supervisor._on_count_children,
}
