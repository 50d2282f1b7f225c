"""Names, links, monitors and timers while the system that they live in is being cancelled."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from brama.actors import (
    Actor,
    ActorDeadError,
    ActorSystem,
    BlockingActor,
    ChildSpec,
    DuplicateRegistry,
    InlineActor,
    Names,
    SystemStoppedError,
    which_children,
)


class Inline(InlineActor):
    def on_receive(self, message):
        return message(self)


class Async(Actor):
    async def on_receive(self, message):
        return message(self)


class Blocking(BlockingActor):
    def on_receive(self, message):
        return message(self)


every_kind = pytest.mark.parametrize("kind", [Inline, Async, Blocking])


async def cancelled(system, meanwhile):
    """Run ``system``, call ``meanwhile()`` and cancel its host."""
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        await meanwhile()
        nursery.cancel_scope.cancel()


@every_kind
@pytest.mark.parametrize("make", [Names, DuplicateRegistry])
async def test_all_entries_are_gone_after_the_cancellation(kind, make):
    registry = make()
    system = ActorSystem("test", children=[ChildSpec(key, kind, name=key) for key in range(5)])

    async def meanwhile():
        for child in await which_children(system.root):
            registry.register(("supervised", child.id), child.ref)
        for key in range(5):
            registry.register(("spawned", key), system.spawn(kind))
        assert len(registry) == 10

    await cancelled(system, meanwhile)
    assert len(registry) == 0
    assert len(system.names) == 0


@every_kind
@pytest.mark.parametrize("make", [Names, DuplicateRegistry])
async def test_a_thread_that_goes_on_registering_leaves_nothing_behind(kind, make):
    registry, begun, over = make(), threading.Event(), threading.Event()
    system = ActorSystem("test")

    def register():
        count = 0
        while not over.wait(0.0002):  # a flood would only take longer to end
            try:
                registry.register(count, system.spawn(kind))
            except (ActorDeadError, SystemStoppedError):
                pass
            count += 1
            begun.set()

    worker = threading.Thread(target=register, daemon=True)

    async def meanwhile():
        worker.start()
        await trio.to_thread.run_sync(begun.wait)

    await cancelled(system, meanwhile)
    over.set()
    worker.join(5)
    assert not worker.is_alive()
    assert len(registry) == 0


@every_kind
async def test_linked_and_monitored_actors_all_end_and_nothing_is_left_on_the_clock(kind):
    system = ActorSystem("test", children=[ChildSpec(key, kind) for key in range(4)])
    refs = []

    async def meanwhile():
        refs.extend(child.ref for child in await which_children(system.root))
        refs.extend(system.spawn(kind) for _ in range(4))
        for one in refs:
            for two in refs:
                one.tell(lambda self, two=two: self.link(two))
                one.tell(lambda self, two=two: self.monitor(two) and None)
            one.tell(lambda self: self.every(1000, "beat") and None)
        for one in refs:
            await one.ask(lambda self: None, block=False)
        assert len(system.timers) == 8

    await cancelled(system, meanwhile)
    assert not any(ref.is_alive() for ref in refs)
    assert not any(ref.actor_inbox.links or ref.actor_inbox.timers for ref in refs)
    assert len(system.timers) == 0


@every_kind
def test_who_is_launched_when_the_loop_is_gone_is_dead_and_not_forgotten(kind, monkeypatch):
    system = ActorSystem("test").start()
    # The caller has seen it run, and is overtaken by the stop.
    monkeypatch.setattr(system, "ensure_running", system.stop)
    ref = system.spawn(kind, name="late")
    assert not ref.is_alive()
    with pytest.raises(ActorDeadError):
        ref.ask(lambda self: None, timeout=5)
    assert system.names.whereis("late") is None
    assert not system.cells
