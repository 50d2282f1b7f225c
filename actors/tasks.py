"""Handling messages with async hooks: a trio task that lives only while there is mail."""

from __future__ import annotations

from operator import length_hint
from types import CoroutineType
from typing import Any

import pykka
import trio
from pykka.messages import _ActorStop

from .cell import DEAD, RUNNING, SPECIAL, STARTING, STOPPING, Cell, Exit
from .errors import Ignore
from .exits import Crash, ExitReason, Killed, Normal
from .mailbox import Ask
from .monitors import Down

__all__ = ["TaskCell"]

# Messages between two checkpoints, so that handlers that never really wait leave room for others.
_THROUGHPUT = 64

# The task is being taken down and not failing. GeneratorExit: the loop itself died, and Python
# closes the coroutines that it left behind; an await in answer to that is an error.
_UNWINDING = (trio.Cancelled, GeneratorExit)


class TaskCell(Cell):
    """A cell whose hooks are awaited, one message at a time, also across awaits.

    Idle, it is an object. Mail starts a task in the system's nursery, which ends when the mailbox
    is empty. The task never raises: every ending is a value, so no nursery ever sees an exception
    of an actor.
    """

    __slots__ = ("scope",)
    kind = "async"

    def __init__(self, actor: Any, host: Any) -> None:
        super().__init__(actor, host)
        # Not None exactly while the task lives.
        self.scope: trio.CancelScope | None = None

    def has_on_start(self) -> bool:
        return bool(self.actor._own_on_start)

    def turn(self) -> bool:
        # A living task looks into the mailbox once more before it ends, in the same step in which
        # it marks itself as gone, so mail that finds it alive is seen.
        if self.scope is None and self.state in (STARTING, RUNNING):
            self.scope = trio.CancelScope()
            self.host.spawn_task(self._run)
        return False

    async def _run(self) -> None:
        scope = self.scope
        assert scope is not None
        try:
            with scope:
                await self._work()
        except _UNWINDING:
            # The nursery goes down beneath us: not our kill, but the end all the same.
            self._end(Killed("the loop is shutting down"))
            raise
        except BaseException as error:  # noqa: BLE001  (a bug of ours; it must not reach the nursery)
            self.report(error)
            self._end(Crash(error))
        finally:
            self.scope = None
            self.host.task_ended()
        if scope.cancelled_caught:
            self._end(self.killed or Killed())

    def _end(self, reason: ExitReason) -> None:
        if self.state is not DEAD:
            self._finish(reason, self._retire())

    async def _work(self) -> None:
        if self.state is STARTING and not await self._begin():
            return
        handled = 0
        while True:
            if self._attention and not await self._attend():
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
                        await self.actor.on_receive(item)
                    except _UNWINDING:
                        raise
                    except BaseException as error:  # noqa: BLE001  (an exit is a value)
                        if not await self._failed(error, None):
                            return
                handled += 1
                if not handled % _THROUGHPUT:
                    await trio.lowlevel.checkpoint()
                if self._attention:
                    break
            if not length_hint(rest):
                self._rest = None

    async def _begin(self) -> bool:
        try:
            await self.actor.on_start()
        except _UNWINDING:
            raise
        except BaseException as error:  # noqa: BLE001  (an exit is a value)
            ignored = isinstance(error, Ignore)
            if not ignored:
                self.report(error)
            stops = self._retire()
            self._acknowledge(error)
            self._finish(Normal() if ignored else Crash(error), stops)
            return False
        if self.state is not STARTING:
            # Killed in the very step in which `on_start` was woken for the last time: no
            # cancellation was seen.
            self._end(self.killed or Killed())
            return False
        self.state = RUNNING
        self._acknowledge(None)
        return True

    async def _attend(self) -> bool:
        control = self.take_control()
        if self.state is not RUNNING:
            self._end(self.killed or Killed())  # killed, and its handler swallowed the cancellation
            return False
        for item in control:
            if item.__class__ is Exit:
                await self._stop(item.reason)
                return False
            try:
                await self.actor.on_receive(item)
            except _UNWINDING:
                raise
            except BaseException as error:  # noqa: BLE001  (an exit is a value)
                if not await self._failed(error, None):
                    return False
        if self.exiting is not None:
            await self._stop(self.exiting)
            return False
        return True

    async def _special(self, item: Any) -> bool:
        kind = item.__class__
        if kind is Ask:
            return await self._answer(item)
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
        except _UNWINDING:
            raise
        except BaseException as error:  # noqa: BLE001  (an exit is a value)
            return await self._failed(error, None)
        return True

    async def _handle(self, message: Any) -> Any:
        result = self.actor._handle_receive(message)
        # Only a coroutine is awaited: a method may return a future as its reply, as pykka's proxies
        # allow.
        return await result if result.__class__ is CoroutineType else result

    async def _answer(self, ask: Ask) -> bool:
        if ask.message.__class__ is _ActorStop:
            self.by_stop = True
            await self._stop(Normal())
            ask.future.resolve(None)
            return False
        self.asking = ask.future
        try:
            result = await self._handle(ask.message)
        except _UNWINDING:
            raise  # `_retire` fails the request
        except BaseException as error:  # noqa: BLE001  (an exit is a value)
            self.asking = None
            return await self._failed(error, ask.future)
        self.asking = None
        ask.future.resolve(result)
        return True

    async def _failed(self, error: BaseException, future: Any) -> bool:
        expected = isinstance(error, Exception)
        if not expected and self.stop_everything(error):
            await self._stop(Crash(error))
            if future is not None:
                future.fail(error)
            pykka.ActorRegistry.stop_all(block=False)
            return False
        if future is not None:
            self.report_to_caller(error)
            if expected and self.actor.error_policy == "reply":
                future.fail(error)
                return True
        self.report(error)
        stops = self._retire()
        if future is not None:
            future.fail(error)
        try:
            await self.actor.on_failure(type(error), error, error.__traceback__)
        except _UNWINDING:
            self._finish(Crash(error), stops)
            raise
        except BaseException as second:  # noqa: BLE001  (an exit is a value)
            self.report(second)
        self._finish(Crash(error), stops)
        return False

    async def _stop(self, reason: ExitReason) -> None:
        stops = self._retire()
        self._log_stopped()
        try:
            await self.actor.on_stop()
        except _UNWINDING:
            # Killed while it cleaned up; `killed` says by whom.
            self._finish(self.killed or reason, stops)
            raise
        except BaseException as error:  # noqa: BLE001  (an exit is a value)
            self.report(error)
            reason = Crash(error)
        self._finish(reason, stops)

    def kill(self, reason: ExitReason) -> None:
        if self.state is DEAD:
            return
        if self.scope is None:
            self._finish(reason, self._retire())
            return
        if self.killed is None:
            self.killed = reason
        if self.state is not STOPPING:
            # Its senders learn now and not after the unwinding, which may take long or never end.
            for stop in self._retire():
                stop.future.resolve(None)
            self._attention = True
        self.scope.cancel(reason=f"{self.ref} was killed: {reason}")
