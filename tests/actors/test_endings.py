"""Endings that cross each other: whoever waits for an end is told, whatever brings it about."""

from __future__ import annotations

import asyncio
import threading

import pytest
import trio

from brama.actors import (
    Actor,
    ActorSystem,
    BlockingActor,
    ChildNotFoundError,
    ChildSpec,
    DynamicSupervisor,
    InlineActor,
    Killed,
    Normal,
    Supervisor,
    kill,
    start_child,
    terminate_child,
    watch,
)
from brama.telemetry import ConfigError


class Echo(InlineActor):
    def on_receive(self, message):
        return message


class SleepsInOnStop(Actor):
    def __init__(self, stopping):
        super().__init__()
        self.stopping = stopping

    async def on_stop(self):
        self.stopping.set()
        await trio.sleep_forever()


class IgnoresItsKill(SleepsInOnStop):
    async def on_stop(self):
        self.stopping.set()
        with trio.CancelScope(shield=True):
            await trio.sleep(0.2)


class BlocksInOnStop(BlockingActor):
    def __init__(self, stopping):
        super().__init__()
        self.stopping = stopping

    def on_stop(self):
        self.stopping.set()
        released.wait(20)


released = threading.Event()


@pytest.mark.parametrize("kind", [SleepsInOnStop, IgnoresItsKill, BlocksInOnStop])
def test_who_waits_for_a_stop_is_told_when_a_kill_comes_first(threaded, kind):
    stopping = threading.Event()
    ref = threaded.spawn(kind, stopping)
    waiting = ref.stop(block=False)
    assert stopping.wait(5)
    kill(ref)
    assert waiting.get(timeout=5) is True
    released.set()


def test_a_watcher_that_raises_keeps_nobody_from_hearing_of_the_end(threaded):
    ref = threaded.spawn(Echo)
    heard = []

    def bad(reason):
        raise SystemExit

    watch(ref, bad)
    watch(ref, heard.append)
    assert ref.stop(timeout=5) is True
    assert heard == [Normal()]


def test_each_watch_counts_also_with_the_same_callback(threaded):
    ref = threaded.spawn(Echo)
    heard = []
    watch(ref, heard.append)
    watch(ref, heard.append)
    ref.stop(timeout=5)
    assert heard == [Normal(), Normal()]


def test_a_watcher_need_not_be_hashable(threaded):
    class Callback:
        __hash__ = None

        def __call__(self, reason):
            heard.append(reason)

    heard = []
    ref = threaded.spawn(Echo)
    watch(ref, Callback())
    ref.stop(timeout=5)
    assert heard == [Normal()]


@pytest.mark.parametrize("call", [kill, lambda ref: watch(ref, print)], ids=["kill", "watch"])
def test_none_is_no_dead_actor_but_a_mistake(call):
    with pytest.raises(ConfigError, match="a ref of an actor"):
        call(None)


@pytest.mark.parametrize("base", [InlineActor, BlockingActor])
async def test_an_actor_that_is_killed_before_it_lives_leaves_nothing_behind(system, base):
    class KillsItself(base):
        def __init__(self):
            super().__init__()
            watch(self.actor_ref, heard.append)
            kill(self.actor_ref)

    heard = []
    before = len(system.cells)
    ref = system.spawn(KillsItself)
    assert heard == [Killed()]
    assert not ref.is_alive()
    assert len(system.cells) == before


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError])
def test_whatever_the_function_of_the_children_raises_goes_to_whoever_starts(error):
    def children():
        raise error

    system = ActorSystem("childless", children=children)
    with pytest.raises(error):
        system.start()
    assert not system.running


def test_a_child_that_is_killed_by_its_constructor_has_not_started():
    class KillsItself(InlineActor):
        def __init__(self):
            super().__init__()
            kill(self.actor_ref)

    system = ActorSystem("killer", children=[ChildSpec("k", KillsItself)])
    with pytest.raises(Exception, match="child 'k' did not start"):
        system.start()


def test_an_actor_that_gets_no_thread_leaves_nothing_behind(threaded, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    before = len(threaded.cells)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        threaded.spawn(BlocksInOnStop, threading.Event(), name="threadless")
    assert len(threaded.cells) == before
    assert threaded.names.whereis("threadless") is None


def test_a_start_while_it_stops_begins_anew():
    system = ActorSystem("again", stop_timeout=1.0).start()
    stopping = threading.Event()
    ref = system.spawn(SleepsInOnStop, stopping)
    system.request_stop()
    assert stopping.wait(5)
    with system.start():
        assert not ref.is_alive()
        assert system.spawn(Echo).call("hello") == "hello"


@pytest.mark.parametrize("timeout", [float("inf"), 1e12, 10**400])
def test_a_stop_may_be_given_all_the_time_in_the_world(timeout):
    assert ActorSystem("patient").start().stop(timeout).complete
    assert ActorSystem("patient", stop_timeout=timeout).start().stop().complete


def test_two_tasks_may_have_one_system_in_their_hands():
    async def main():
        system = ActorSystem("shared")
        inside = trio.Event()

        async def guest():
            async with system:
                inside.set()

        async with trio.open_nursery() as nursery, system:
            nursery.start_soon(guest)
            await inside.wait()
        assert not system.running

    with_limit(main)


def with_limit(main):
    async def limited():
        with trio.fail_after(20):
            await main()

    trio.run(limited)


def test_a_chain_of_actors_that_start_each_other_is_no_deep_stack(threaded):
    class Link(InlineActor):
        def __init__(self, left, end):
            super().__init__()
            self.left, self.end = left, end

        def on_start(self):
            if self.left:
                self.actor_system.spawn(Link, self.left - 1, self.end)
            else:
                self.end.set()

    end = threading.Event()
    threaded.spawn(Link, 2_000, end)
    assert end.wait(10)


def test_a_system_whose_async_start_was_cancelled_does_not_stay_up():
    class Slow(BlockingActor):
        def on_start(self):
            begun.set()
            released.wait(20)

    async def main():
        async def use():
            async with system:
                raise AssertionError

        task = asyncio.create_task(use())
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()

    begun = threading.Event()
    released.clear()
    system = ActorSystem("cancelled", children=[ChildSpec("slow", Slow)])
    asyncio.run(main())
    assert system.stop().complete
    assert not system.running


def test_an_observer_of_a_supervisor_cannot_be_async():
    with pytest.raises(TypeError, match=r"on_child_exit is async, and nobody would await it"):

        class Wrong(Supervisor):
            async def on_child_exit(self, spec, reason):
                pass


@pytest.mark.parametrize("kind", [Supervisor, DynamicSupervisor])
async def test_a_child_may_be_named_by_its_ref(system, kind):
    sup, other = system.spawn(kind), system.spawn(kind)
    ref = await start_child(sup, Echo)
    with pytest.raises(ChildNotFoundError):
        await terminate_child(other, ref)
    await terminate_child(sup, ref)
    assert not ref.is_alive()
    with pytest.raises(ChildNotFoundError):
        await terminate_child(sup, ref)


async def test_who_watches_a_child_that_will_not_end_hears_of_its_end_after_the_grace(
    system, autojump_clock
):
    class Stubborn(Actor):
        async def on_receive(self, message):
            with trio.CancelScope(shield=True):
                await trio.sleep(60)
            raise message

    heard = []
    sup = system.spawn(Supervisor)
    ref = await start_child(sup, ChildSpec("s", Stubborn, shutdown=1.0, name="s"))
    watch(ref, heard.append)
    ref.tell(ValueError("nobody cares any more"))
    await trio.testing.wait_all_tasks_blocked()
    await terminate_child(sup, "s")
    assert heard == [Killed("did not end in time")]
    assert system.names.whereis("s") is None
    assert any("cannot be stopped: task of Stubborn" in why for why in system.health().reasons)
    await trio.sleep(60)
    assert system.health().status == "ok"
    assert len(heard) == 1


def test_the_thread_of_a_blocking_actor_that_was_killed_is_reported_until_it_ends(threaded):
    class Busy(BlockingActor):
        def on_receive(self, message):
            working.set()
            freed.wait(20)

    working, freed = threading.Event(), threading.Event()
    ref = threaded.spawn(Busy)
    ref.tell("work")
    assert working.wait(5)
    gone = threading.Event()
    watch(ref, lambda _reason: gone.set())
    kill(ref)
    assert gone.wait(5)
    threaded.spawn(Echo).call("the kill is over")
    assert threaded.health().status == "degraded"
    assert threaded.health().unstoppable == 1
    freed.set()
    while threaded.health().status != "ok":
        pass


def test_a_subscriber_of_dead_letters_that_exits_cuts_no_end_short(threaded):
    def leave(letter):
        raise SystemExit

    class Idle(InlineActor):
        def on_receive(self, message):
            self.actor_ref.tell("unread")
            kill(self.actor_ref)

    threaded.dead_letters.subscribe(leave)
    ref = threaded.spawn(Idle)
    heard = threading.Event()
    watch(ref, lambda _reason: heard.set())
    ref.tell("go")
    assert heard.wait(1)
    assert threaded.dead_letters.count == 1
