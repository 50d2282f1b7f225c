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


def test_an_actor_and_its_ref_have_one_urn_whoever_asks_first(threaded):
    one, other = threaded.spawn(InlineActor), threaded.spawn(InlineActor)
    urn = one._actor_weakref().actor_urn
    assert urn.startswith("urn:uuid:")
    assert one.actor_urn == urn != other.actor_urn == other._actor_weakref().actor_urn
    assert urn in str(one)


def test_threads_that_ask_at_the_same_moment_are_told_the_same_urn(threaded):
    ref, told = threaded.spawn(InlineActor), []
    together = threading.Barrier(8)

    def ask():
        together.wait(5)
        told.append(ref.actor_urn)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert set(told) == {ref.actor_urn}
    assert len(told) == 8


def test_the_flag_of_an_end_may_be_asked_for_before_and_after_it(threaded):
    watched, unwatched = threaded.spawn(InlineActor), threaded.spawn(InlineActor)
    before = watched.actor_stopped
    assert not before.is_set()
    assert watched._actor_weakref().actor_stopped is before
    watched.stop(timeout=5)
    unwatched.stop(timeout=5)
    assert before.wait(5)
    assert watched.actor_stopped is before
    assert unwatched.actor_stopped.is_set()


def test_a_ref_knows_no_actor_once_it_has_ended(threaded):
    ref = threaded.spawn(InlineActor)
    kept = ref._actor_weakref()
    assert isinstance(kept, InlineActor)
    ref.stop(timeout=5)
    assert ref._actor_weakref() is None
    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()
