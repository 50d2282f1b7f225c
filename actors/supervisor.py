"""The supervisor: starts its children in order, replaces those that fail, ends them in reverse."""

from __future__ import annotations

import logging
import random
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

import trio

from brama.telemetry import unknown

from .actor import Actor, make
from .cell import DEAD, Cell
from .child import RESTARTING, RUNNING, STARTING, STOPPED, STOPPING, Child, Exited, Retry
from .children import ChildInfo, ChildSpec, check_children
from .errors import (
    ActorStartError,
    ChildExistsError,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
)
from .exits import Crash, ExitReason, Killed, Shutdown, describe
from .links import ExitSignal
from .occasions import Acknowledgement, Gone
from .strategy import Backoff, Intensity, Restart, Strategy, affected, wants_restart
from .supervise import (
    ChildCounts,
    CountChildren,
    DeleteChild,
    GetChildSpec,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)

__all__ = ["GRACE", "Supervisor"]

logger = logging.getLogger("brama.actors")

# Seconds that a killed task has to unwind before it is given up and reported.
GRACE = 1.0


class Supervisor(Actor):
    """Keeps a fixed set of children alive.

    Example:
        >>> class Prices(Supervisor):
        ...     def __init__(self):
        ...         super().__init__(
        ...             [ChildSpec("store", Store), ChildSpec("feed", Feed, restart="transient")],
        ...             strategy="rest_for_one",
        ...         )

    Options:
        children: specs in start order.
        strategy: `Strategy`, ``one_for_one`` by default.
        intensity, period: at most this many restarts (3) in so many seconds (5.0); one more, and
        the
            supervisor ends its children and itself with ``Shutdown("restart intensity exceeded")``,
            which is its own supervisor's matter then.
        backoff: None restarts at once, as OTP does; a `Backoff` waits before each restart.

    Order: children start in the order of their specs, each once the one before has acknowledged
    (its `on_start` has run), and end in reverse, one after the other, each within its ``shutdown``.

    Failure: a child that does not start takes those before it down, in reverse, and the supervisor
    does not start (`ActorStartError`). Only at a restart is it tried again, each try counting for
    the intensity. However a supervisor ends, none of its children outlives it.

    Requests come through the functions of `brama.actors.supervise`.

    Source: Erlang/OTP ``supervisor``; intensity and period are Elixir's defaults.
    """

    supervises: ClassVar[bool] = True
    trap_exit = True

    def __init__(
        self,
        children: Sequence[ChildSpec] = (),
        *,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        intensity: int = 3,
        period: float = 5.0,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__()
        try:
            self._strategy = Strategy(strategy)
        except ValueError:
            raise unknown("strategy", strategy, [str(one) for one in Strategy]) from None
        self._specs = check_children("children", children)
        self._intensity = Intensity(intensity, period)
        self._backoff = backoff
        # In start order. Invariant: only the supervisor's own task writes; anybody may read a copy.
        self._children: dict[Hashable, Child] = {}

    # -- for subclasses
    # -------------------------------------------------------------------------------

    def on_child_exit(self, spec: ChildSpec, reason: ExitReason) -> None:
        """Called when a child has ended by itself, before the decision about its restart."""

    def on_exhausted(self) -> None:
        """Called when the restart intensity is exceeded, before the children are ended."""

    # -- life
    # -----------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the children. A subclass that overrides it calls ``await super().on_start()``."""
        for spec in self._specs:
            child = self._children[spec.id] = Child(spec, self._cell)
            try:
                await self._start(child)
            except ActorStartError:
                await self._end_all()
                raise

    async def on_stop(self) -> None:
        """End the children. A subclass that overrides it calls ``await super().on_stop()``."""
        await self._end_all()

    def _on_exited(self) -> None:
        # Killed, or crashed in a hook: children must not outlive their supervisor, whatever
        # happened to it.
        for child in reversed(list(self._children.values())):
            cell, child.cell = child.cell, None
            child.status = STOPPED
            if cell is not None:
                cell.owner = None
                cell.kill(Killed("its supervisor ended"))

    async def on_receive(self, message: Any) -> Any:
        if message.__class__ is ExitSignal:
            return (
                None  # of an actor that is none of its children: OTP's supervisor ignores it, too
            )
        handler = _HANDLERS.get(message.__class__)
        if handler is None:
            return await super().on_receive(message)
        return await handler(self, message)

    # -- requests
    # -------------------------------------------------------------------------------------

    async def _on_start_child(self, request: StartChild) -> Any:
        spec = request.spec
        present = self._children.get(spec.id)
        if present is not None:
            raise ChildExistsError(
                spec.id,
                "exists already and is stopped: use restart_child or delete_child"
                if present.status is STOPPED
                else "exists already",
            )
        self._check_room(spec)
        child = self._children[spec.id] = Child(spec, self._cell)
        try:
            return await self._start(child)
        except ActorStartError:
            # Nothing wider: cancelled, the child must still be found and taken down.
            del self._children[spec.id]
            raise

    def _check_room(self, spec: ChildSpec) -> None:
        """Refuse a further child by raising."""

    async def _on_terminate_child(self, request: TerminateChild) -> None:
        child = self._find(request.id)
        await self._end(child)
        if self._forgets(child.spec):
            self._children.pop(child.spec.id, None)

    async def _on_restart_child(self, request: RestartChild) -> Any:
        child = self._find(request.id)
        self._check_stopped(child)
        return await self._start(child)

    async def _on_delete_child(self, request: DeleteChild) -> None:
        child = self._find(request.id)
        self._check_stopped(child)
        del self._children[request.id]

    async def _on_get_childspec(self, request: GetChildSpec) -> ChildSpec:
        return self._find(request.id).spec

    async def _on_which_children(self, _request: WhichChildren) -> tuple[ChildInfo, ...]:
        return tuple(
            ChildInfo(
                id=child.spec.id,
                ref=child.cell.ref if child.cell is not None else None,
                status=child.status,
                type=child.spec.type,
                actor_class=child.spec.start,
                restarts=child.restarts,
            )
            for child in self._children.values()
        )

    async def _on_count_children(self, _request: CountChildren) -> ChildCounts:
        children = self._children.values()
        supervisors = sum(1 for child in children if child.spec.start.supervises)
        return ChildCounts(
            specs=len(children),
            active=sum(1 for child in children if child.status is RUNNING),
            supervisors=supervisors,
            workers=len(children) - supervisors,
        )

    def _find(self, id: Hashable) -> Child:
        child = self._children.get(id)
        if child is None:
            raise ChildNotFoundError(id, f"does not exist in {self}")
        return child

    @staticmethod
    def _check_stopped(child: Child) -> None:
        if child.status is RESTARTING:
            raise ChildRestartingError(child.spec.id, "waits for its restart: terminate it first")
        if child.status is not STOPPED:
            raise ChildRunningError(child.spec.id, "is running: terminate it first")

    def _forgets(self, spec: ChildSpec) -> bool:
        """Whether the spec goes with its stopped child."""
        return spec.restart is Restart.TEMPORARY

    # -- starting
    # -------------------------------------------------------------------------------------

    async def _start(self, child: Child) -> Any:
        """Start an incarnation and wait for its acknowledgement; returns its ref.

        Raises `ActorStartError`, and the child is stopped then.
        """
        spec = child.spec
        child.status = STARTING
        try:
            cell = make(self.actor_system, spec.start, spec.args, spec.kwargs)
            ref = cell.ref
            if spec.name is not None:
                self.actor_system.names.register(spec.name, ref)
        except Exception as error:
            child.status = STOPPED
            raise ActorStartError(spec.id, f"its constructor failed with {error!r}") from error
        child.cell = cell
        cell.owner = child.exited
        start = Acknowledgement(self.actor_system)
        cell.launch(start)
        if not start.done:
            with trio.move_on_after(spec.start_timeout):
                await start.wait()
        if start.error is not None or not start.done:
            child.cell = None
            child.status = STOPPED
            if not start.done:
                await self._end_cell(spec, cell, Killed("start timeout"), 0.0)
                raise ActorStartError(
                    spec.id, f"its on_start took more than {spec.start_timeout} s"
                )
            raise ActorStartError(
                spec.id, f"its on_start failed with {start.error!r}"
            ) from start.error
        child.status = RUNNING
        child.since = trio.current_time()
        return ref

    # -- exits
    # ----------------------------------------------------------------------------------------

    async def _on_exited_child(self, exited: Exited) -> None:
        child = exited.child
        if child.cell is not exited.cell:
            return  # an incarnation that we ended ourselves
        child.cell = None
        child.status = STOPPED
        child.last_exit = describe(exited.reason)
        spec = child.spec
        if exited.cell.by_stop:
            # pykka's stop() on a supervised child is OTP's terminate_child, so that
            # ActorRegistry.stop_all() and the tree do not work against each other.
            if self._forgets(spec):
                self._children.pop(spec.id, None)
            return
        self.on_child_exit(spec, exited.reason)
        if wants_restart(spec.restart, exited.reason):
            logger.info("%s: child %r ended: %s; restarting it", self, spec.id, child.last_exit)
            await self._restart(child)
        elif self._forgets(spec):
            self._children.pop(spec.id, None)

    async def _restart(self, child: Child) -> None:
        child.status = RESTARTING
        if self._backoff is None:
            await self._attempt(child)
            return
        if trio.current_time() - child.since >= self._backoff.reset_after:
            child.failures = 0
        child.failures += 1
        # A timer and not a sleep: the mailbox goes on being served. Jitter needs no secure
        # randomness.
        delay = self._backoff.delay(child.failures, random.random)
        self.after(delay, Retry(child), key=child)

    async def _on_retry(self, retry: Retry) -> None:
        child = retry.child
        # Terminated, deleted or replaced while it waited?
        if child.status is RESTARTING and self._children.get(child.spec.id) is child:
            await self._attempt(child)

    async def _attempt(self, child: Child) -> None:
        """One restart, of the child and of whom the strategy adds. It counts once."""
        if not self._intensity.allows(trio.current_time()):
            self._exhausted(child)
            return
        group = affected(self._strategy, list(self._children.values()), child)
        for one in reversed(group):
            await self._end(one)
            if one.spec.restart is Restart.TEMPORARY:
                self._children.pop(one.spec.id, None)
            else:
                # Also one that had ended quietly, or was terminated: OTP starts the whole group.
                one.status = RESTARTING
        for one in group:
            if one.status is not RESTARTING:
                continue
            try:
                await self._start(one)
            except ActorStartError as error:
                logger.warning("%s: restart failed: %s", self, error)
                one.status = RESTARTING
                one.last_exit = str(error)
                await self._retry_later(one)
                return
            one.restarts += 1

    async def _retry_later(self, child: Child) -> None:
        if self._backoff is None:
            # Through the mailbox, so that requests and an order to shut down get their turn in
            # between.
            self._cell.send(Retry(child))
        else:
            child.failures += 1
            delay = self._backoff.delay(child.failures, random.random)
            self.after(delay, Retry(child), key=child)

    def _exhausted(self, child: Child) -> None:
        child.status = STOPPED
        logger.error(
            "%s: restart intensity exceeded (%d in %g s) by child %r: %s; ending all children",
            self,
            self._intensity.intensity,
            self._intensity.period,
            child.spec.id,
            child.last_exit,
        )
        self.on_exhausted()
        self.exit(Shutdown("restart intensity exceeded"))

    # -- ending
    # ---------------------------------------------------------------------------------------

    async def _end_all(self) -> None:
        for child in reversed(list(self._children.values())):
            await self._end(child)

    async def _end(self, child: Child) -> None:
        """End the child within its deadline."""
        cell = child.cell
        if child.status is RESTARTING:
            self.cancel_timer(child)
        if cell is None:
            child.status = STOPPED
            return
        child.status = STOPPING
        await self._end_cell(child.spec, cell, Shutdown(), child.spec.shutdown)
        child.cell = None  # the exit that is in our mailbox by now is stale
        child.status = STOPPED

    async def _end_cell(
        self, spec: ChildSpec, cell: Cell, reason: ExitReason, deadline: float
    ) -> None:
        gone = Gone(self.actor_system)
        if not cell.watch(gone):
            return
        try:
            if deadline > 0:
                cell.request_exit(reason)
                with trio.move_on_after(deadline):
                    await gone.wait()
            if not gone.done:
                if deadline > 0:
                    logger.warning(
                        "%s: child %r did not end within %g s; killing it", self, spec.id, deadline
                    )
                await self._kill(spec, cell, gone)
            elif isinstance(gone.reason, Crash):
                logger.error(
                    "%s: child %r crashed while it was ending: %s",
                    self,
                    spec.id,
                    describe(gone.reason),
                )
        finally:
            cell.unwatch(gone)

    async def _kill(self, spec: ChildSpec, cell: Cell, gone: Gone) -> None:
        cell.kill(Killed("did not end in time"))
        with trio.move_on_after(GRACE):
            await gone.wait()
        self._report_unstoppable(spec, cell)

    def _report_unstoppable(self, spec: ChildSpec, cell: Cell) -> None:
        who = cell.busy_thread or (None if cell.state is DEAD else f"task of {cell.ref}")
        if who is not None:
            logger.error(
                "%s: child %r cannot be stopped: %s; leaving it behind", self, spec.id, who
            )
            self.actor_system.report_unstoppable(who)

    def _snapshot(self) -> list[Child]:
        """The children for introspection, from any thread."""
        while True:
            try:
                return list(self._children.values())
            except RuntimeError:  # changed while it was copied; only possible without the GIL
                continue


async def _start_child(supervisor: Supervisor, request: StartChild) -> Any:
    return await supervisor._on_start_child(request)  # a subclass may have its own


_HANDLERS: dict[type, Any] = {
    Exited: Supervisor._on_exited_child,
    Retry: Supervisor._on_retry,
    StartChild: _start_child,
    TerminateChild: Supervisor._on_terminate_child,
    RestartChild: Supervisor._on_restart_child,
    DeleteChild: Supervisor._on_delete_child,
    GetChildSpec: Supervisor._on_get_childspec,
    WhichChildren: Supervisor._on_which_children,
    CountChildren: Supervisor._on_count_children,
}
