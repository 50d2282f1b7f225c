"""Handling messages with async hooks: a trio task that lives only while there is mail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from operator import length_hint
from time import perf_counter
from types import CoroutineType
from typing import Any, ClassVar

import pykka
import trio
from pykka.messages import _ActorStop

from .bounded import Bounded
from .cell import DEAD, RUNNING, SPECIAL, STARTING, STOPPING, Cell, Exit
from .context import lay, lift
from .crew import Crew
from .errors import Ignore
from .exits import Crash, ExitReason, Killed, Normal
from .mailbox import Ask, Carried
from .monitors import Down
from .unwinding import unwinds
from .whose import calls_hooks

__all__ = ["BoundedTaskCell", "TaskCell"]

# Messages, and seconds, between two checkpoints, so that handlers that never really wait leave room
# for others; and messages between two looks at the clock.
_THROUGHPUT = 64
_SLICE = 0.002
_CHUNK = 8


class TaskCell(Cell):
    """A cell whose hooks are awaited, one message at a time, also across awaits.

    Idle, it is an object. Mail starts a task beside the system's own, which ends when the mailbox
    is empty. The task never raises: every ending is a value, so nothing on the loop ever sees an
    exception of an actor.
    """

    __slots__ = ("_began", "_variables", "crew", "scope", "task")
    kind = "async"
    _mend: ClassVar[str] = "await it"

    def __init__(self, actor: Any, host: Any) -> None:
        super().__init__(actor, host)
        # Not None exactly while the task lives, or is about to.
        self.scope: trio.CancelScope | None = None
        self.task: trio.lowlevel.Task | None = None
        self._began = 0.0
        # The actor's own context, once it has set a variable. Not in `context`, which the scheduler
        # enters for a turn: a task cannot begin in a context that is entered.
        self._variables: Context | None = None
        # The tasks that the actor has spawned, if it ever did.
        self.crew: Crew | None = None

    def has_on_start(self) -> bool:
        return bool(self.actor._own_on_start)

    def turn(self) -> bool:
        # A living task looks into the mailbox once more before it ends, in the same step in which
        # it marks itself as gone, so mail that finds it alive is seen.
        if self.scope is None and self.state in (STARTING, RUNNING):
            self.scope = trio.CancelScope()
            context = Context() if self._variables is None else self._variables
            self.host.scheduler.spawn_task(self._run, context, str(self.ref))
        return False

    async def _run(self) -> None:
        scope = self.scope
        assert scope is not None
        task = self.task = trio.lowlevel.current_task()
        self._began = perf_counter()
        try:
            with scope:
                await self._work()
        except BaseException as error:
            if unwinds(error, scope, task):
                # The loop goes down beneath us: not our kill, but the end all the same.
                self._end(Killed("the loop is shutting down"))
                raise
            # A bug of ours, or a stale cancellation out of a hook; nobody else must see it.
            self.report(error)
            self._end(Crash(error))
        finally:
            self.scope = self.task = None
            if task.context:
                self._variables = task.context
            self.busy += perf_counter() - self._began
            self._began = 0.0
            self.host.scheduler.task_ended()
        if scope.cancelled_caught or self.killed is not None:
            # Or killed in a step that nothing was left to do after: no cancellation was seen.
            self._end(self.killed or Killed())

    def _end(self, reason: ExitReason) -> None:
        if self.state is not DEAD:
            self._retire()
            self._finish(reason)

    @property
    def busy_task(self) -> str | None:
        return None if self.scope is None else f"task of {self.ref}"

    def give_up(self) -> None:
        # Its task goes on in the hook that would not end, and finds it dead when that returns.
        self._end(self.killed or Killed())

    def works_here(self) -> bool:
        task = self.task
        return (
            task is not None
            and self.host.on_loop_thread()
            and trio.lowlevel.in_trio_task()
            and trio.lowlevel.current_task() is task
        )

    def _unwinds(self, error: BaseException) -> bool:
        return unwinds(error, self.scope, self.task)

    def busy_for(self) -> float:
        began = self._began
        return self.busy + (perf_counter() - began if began else 0.0)

    # -- messages
    # -------------------------------------------------------------------------------------

    @calls_hooks("on_receive")
    async def _work(self) -> None:
        if self.state is STARTING and not await self._begin():
            return
        handled, end = 0, perf_counter() + _SLICE
        while True:
            while self._attention:  # again: a kill may have come while it looked up
                if not await self._attend():
                    return
            rest = self._rest
            if rest is None:
                if not self.take():
                    return
                rest = self._rest
                if rest is None:
                    continue
            for item in rest:
                if item.__class__ in SPECIAL:
                    if not await self._special(item):
                        return
                else:
                    try:
                        result = await self.actor.on_receive(item)
                        if result is not None:
                            self.unawaited(result)
                    except BaseException as error:
                        if self._unwinds(error):
                            raise
                        if not await self._failed(error, None):
                            return
                handled += 1
                if not handled % _CHUNK and (not handled % _THROUGHPUT or perf_counter() > end):
                    await trio.lowlevel.checkpoint()
                    end = perf_counter() + _SLICE
                if self._attention:
                    break
            if not length_hint(rest):
                self._rest = None

    @calls_hooks("on_start")
    async def _begin(self) -> bool:
        try:
            self.unawaited(await self.actor.on_start())
        except BaseException as error:
            if self._unwinds(error):
                raise
            ignored = isinstance(error, Ignore)
            if not ignored:
                self.report(error)
            if self.state is DEAD:
                return False
            self._retire()
            self._acknowledge(error)
            self._finish(Normal() if ignored else Crash(error))
            return False
        if not self._started():
            # Killed in the very step in which `on_start` was woken for the last time: no
            # cancellation was seen.
            self._end(self.killed or Killed())
            return False
        self._acknowledge(None)
        return True

    async def _attend(self) -> bool:
        control = self.take_control()
        if self.state is not RUNNING:
            self._end(self.killed or Killed())  # killed, and its handler swallowed the cancellation
            return False
        if self.continuing and self.exiting is None:
            for item in self.next_thing():
                if not await self._told(item):
                    return False
        for item in control:
            if item.__class__ is Exit:
                await self._stop(item.reason)
                return False
            if not await self._told(item):
                return False
        if self.exiting is not None:
            await self._stop(self.exiting)
            return False
        return True

    @calls_hooks("on_receive")
    async def _told(self, item: Any) -> bool:
        """Handle an item that came neither in a batch nor as a request; False when it ended it."""
        try:
            self.unawaited(await self.actor.on_receive(item))
        except BaseException as error:
            if self._unwinds(error):
                raise
            return await self._failed(error, None)
        return True

    @calls_hooks("on_receive")
    async def _special(self, item: Any) -> bool:
        kind = item.__class__
        if kind is Ask:
            if item.context is None:
                return await self._answer(item)
            laid = lay(item.context)
            try:
                return await self._answer(item)
            finally:
                lift(laid)
        if kind is Carried:
            message = item.message
            laid = lay(item.context)
            try:
                if message.__class__ in SPECIAL:
                    return await self._special(message)
                return await self._told(message)
            finally:
                lift(laid)
        if kind is Exit:
            await self._stop(item.reason)
            return False
        if kind is _ActorStop:
            self.by_stop = True
            await self._stop(Normal())
            return False
        if kind is Down and not item.monitor.active:
            return True
        try:
            await self._handle(item)
        except BaseException as error:
            if self._unwinds(error):
                raise
            return await self._failed(error, None)
        return True

    async def _handle(self, message: Any) -> Any:
        result = self.actor._handle_receive(message)
        # Only a coroutine is awaited: a method may return a future as its reply, as pykka's proxies
        # allow.
        if result.__class__ is CoroutineType:
            result = await result
            self.unawaited(result)
        return result

    async def _answer(self, ask: Ask) -> bool:
        if ask.message.__class__ is _ActorStop:
            self.by_stop = True
            self.keep_waiting(ask.future)
            await self._stop(Normal())
            return False
        self.asking = ask.future
        try:
            result = await self._handle(ask.message)
        except BaseException as error:
            if self._unwinds(error):
                raise  # `_retire` fails the request
            future, self.asking = self.asking, None
            return await self._failed(error, future)
        if self.asking is not None:  # else it was deferred, or failed when a kill came
            self.asking = None
            self.reply(ask.future, result)
        return True

    # -- endings
    # --------------------------------------------------------------------------------------

    @calls_hooks("on_failure")
    async def _failed(self, error: BaseException, future: Any) -> bool:
        if self.state is DEAD:  # given up long ago
            self.report(error)
            return False
        expected = isinstance(error, Exception)
        if not expected and self.stop_everything(error):
            await self._stop(Crash(error))
            if future is not None:
                self.reply_error(future, error)
            pykka.ActorRegistry.stop_all(block=False)
            return False
        if future is not None:
            self.report_to_caller(error)
            if expected and self.actor.error_policy == "reply":
                self.reply_error(future, error)
                return True
        self.report(error)
        self._retire()
        if future is not None:
            self.reply_error(future, error)
        try:
            await self._dismiss_crew()
            self.unawaited(await self.actor.on_failure(type(error), error, error.__traceback__))
        except BaseException as second:
            if self._unwinds(second):
                self._finish(Crash(error))
                raise
            self.report(second)
        self._finish(Crash(error))
        return False

    @calls_hooks("on_stop")
    async def _stop(self, reason: ExitReason) -> None:
        self._retire()
        self._log_stopped()
        try:
            await self._dismiss_crew()
            self.unawaited(await self.actor.on_stop())
        except BaseException as error:
            if self._unwinds(error):
                # Killed while it cleaned up; `killed` says by whom.
                self._finish(self.killed or reason)
                raise
            self.report(error)
            reason = Crash(error)
        self._finish(reason)

    def kill(self, reason: ExitReason) -> None:
        if self.state is DEAD:
            return
        if self.scope is None:
            self._retire()
            self._finish(reason)
            return
        if self.killed is None:
            self.killed = reason
        # Its senders learn now and not after the unwinding, which may take long or never end.
        if self.state is not STOPPING:
            self._retire()
            self._attention = True
        self._answer_stops()
        self.scope.cancel(reason=f"{self.ref} was killed: {reason}")

    # -- spawned tasks
    # --------------------------------------------------------------------------------

    @calls_hooks("spawn")
    async def run_beside(
        self, async_fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        """What a spawned task runs: in here, so that it is found to be this actor's."""
        await async_fn(*args)

    async def _dismiss_crew(self) -> None:
        if self.crew is not None:
            self.crew.cancel()
            await self.crew.gone()

    def _release_actor(self) -> None:
        if self.crew is not None:
            self.crew.cancel()
        super()._release_actor()

    def crew_failed(self, error: BaseException) -> None:
        """A spawned task has raised: nobody waits for it, so it is the actor's own crash."""
        if self.state in (STARTING, RUNNING):
            self.report(error)
            self.kill(Crash(error))


class BoundedTaskCell(Bounded, TaskCell):
    """An async actor's cell with a limit on its mail."""

    __slots__ = ()
