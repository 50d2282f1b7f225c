"""One worker in the three kinds of actors, and the questions that the tests ask again and again."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import trio
import trio.testing

from brama.actors import (
    Actor,
    ActorRef,
    ActorSystem,
    BlockingActor,
    ChildSpec,
    ExitReason,
    InlineActor,
    Supervisor,
    count_children,
    watch,
    which_children,
)

_blocking: weakref.WeakSet[Any] = weakref.WeakSet()


class Script:
    """What a worker does in its hooks: a fault to raise, by hook; and what it has written down."""

    def __init__(self, **faults: Any) -> None:
        self.faults = faults
        self.log: list[str] = []

    def play(self, hook: str, name: str) -> None:
        fault = self.faults.get(hook)
        if isinstance(fault, list):
            fault = fault.pop(0) if fault else None
        if isinstance(fault, BaseException):
            raise fault
        if callable(fault):
            fault()
        sign = {"on_start": "+", "on_stop": "-", "on_failure": "!"}.get(hook)
        if sign:
            self.log.append(f"{sign}{name}")


class Obedient:
    """Raises the exceptions that it is sent, and ends for the reasons that it is sent."""

    def obey(self, message: Any) -> Any:
        self.script.play("on_receive", self.name)
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, ExitReason):
            self.exit(message)
        return message


class InlineWorker(InlineActor, Obedient):
    def __init__(self, name="w", script=None):
        super().__init__()
        self.name = name
        self.script = script or Script()
        self.script.play("constructor", name)

    def on_start(self):
        self.script.play("on_start", self.name)

    def on_receive(self, message):
        return self.obey(message)

    def on_stop(self):
        self.script.play("on_stop", self.name)

    def on_failure(self, *_exc):
        self.script.play("on_failure", self.name)


class AsyncWorker(Actor, Obedient):
    def __init__(self, name="w", script=None):
        super().__init__()
        self.name = name
        self.script = script or Script()
        self.script.play("constructor", name)

    async def on_start(self):
        await trio.lowlevel.checkpoint()
        self.script.play("on_start", self.name)

    async def on_receive(self, message):
        await trio.lowlevel.checkpoint()
        if message == "hang":
            await trio.sleep_forever()
        return self.obey(message)

    async def on_stop(self):
        await trio.lowlevel.checkpoint()
        self.script.play("on_stop", self.name)

    async def on_failure(self, *_exc):
        await trio.lowlevel.checkpoint()
        self.script.play("on_failure", self.name)


class BlockingWorker(BlockingActor, Obedient):
    def __init__(self, name="w", script=None):
        super().__init__()
        self.name = name
        self.script = script or Script()
        _blocking.add(self._cell)
        self.script.play("constructor", name)

    def on_start(self):
        self.script.play("on_start", self.name)

    def on_receive(self, message):
        if isinstance(message, threading.Event):
            message.wait(20)
            return None
        return self.obey(message)

    def on_stop(self):
        self.script.play("on_stop", self.name)

    def on_failure(self, *_exc):
        self.script.play("on_failure", self.name)


KINDS = [InlineWorker, AsyncWorker, BlockingWorker]


async def calm(system: ActorSystem, hanging: Any = None) -> None:
    """Wait until everybody waits: for mail, or for time to pass. Threads as well.

    Unlike `settle` it does not wait for handlers that sleep.
    """
    while True:
        await trio.testing.wait_all_tasks_blocked()
        if not system.scheduler._ready:
            works = [cell for cell in list(_blocking) if cell is not hanging and _works(cell)]
            if not works:
                # What the threads have sent last is on the loop by now.
                await trio.testing.wait_all_tasks_blocked()
                if not system.scheduler._ready:
                    return
        await trio.to_thread.run_sync(time.sleep, 0.0005)


def _works(cell: Any) -> bool:
    thread = cell.thread
    if thread is None or not thread.is_alive():
        return False
    return cell.state != "running" or cell.executing or not cell.idle


async def up(system: ActorSystem, children: Any = (), **options: Any) -> ActorRef[Any]:
    """A supervisor that has started."""
    sup = system.spawn(options.pop("kind", Supervisor), children, **options)
    await count_children(sup)
    return sup


async def refs(sup: ActorRef[Any]) -> dict[Any, Any]:
    return {info.id: info.ref for info in await which_children(sup)}


async def statuses(sup: ActorRef[Any]) -> dict[Any, str]:
    return {info.id: info.status for info in await which_children(sup)}


def fate(ref: ActorRef[Any]) -> list[ExitReason]:
    """A list that will hold why the actor has ended."""
    reasons: list[ExitReason] = []
    watch(ref, reasons.append)
    return reasons


def specs(worker: type, script: Script, names: str = "abc", **options: Any) -> list[ChildSpec]:
    return [ChildSpec(name, worker, (name, script), **options) for name in names]


def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)
