"""What pykka's users rely on, beyond its own suite: the registry, and BaseException."""

from __future__ import annotations

import threading

import pykka
import pytest

from brama.actors import Actor, BlockingActor, ChildSpec, InlineActor, start_child


def registered(ref):
    return ref in pykka.ActorRegistry.get_all()


@pytest.mark.parametrize("kind", [InlineActor, BlockingActor])
def test_an_actor_class_may_ask_to_be_in_the_registry_of_pykka(threaded, kind):
    class Shown(kind):
        in_actor_registry = True

        def on_receive(self, message):
            return registered(self.actor_ref)

    class Hidden(kind):
        pass

    spawned = threaded.spawn(Shown)
    child = start_child(threaded.root, ChildSpec("shown", Shown)).get(timeout=5)
    hidden = threaded.spawn(Hidden)
    try:
        assert spawned.ask("?", timeout=5)
        assert child.ask("?", timeout=5)
        assert not registered(hidden)
    finally:
        spawned.stop(timeout=5)
        child.stop(timeout=5)
    assert not registered(spawned)
    assert not registered(child)


def test_stop_all_ends_registered_children_for_good_and_leaves_the_tree(threaded):
    class Shown(InlineActor):
        in_actor_registry = True

    child = start_child(threaded.root, ChildSpec("shown", Shown, name="shown")).get(timeout=5)
    pykka.ActorRegistry.stop_all(timeout=5)
    assert not child.is_alive()
    assert threaded.root.is_alive()
    assert threaded.names.whereis("shown") is None  # stop() on a child is OTP's terminate_child


def test_a_base_exception_in_an_async_actor_stops_all_registered_ones():
    stopped = threading.Event()

    class Bystander(InlineActor):
        def on_stop(self):
            stopped.set()

    class Bomb(Actor):
        async def on_receive(self, message):
            raise BaseException("boom")

    bystander, bomb = Bystander.start(), Bomb.start()
    bomb.tell("go")
    assert stopped.wait(5)
    assert bystander.actor_stopped.wait(5)
    assert bomb.actor_stopped.wait(5)
