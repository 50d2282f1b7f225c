"""Endings that cross each other: whoever waits for an end is told, whatever brings it about."""

from __future__ import annotations

import threading

import pytest
import trio

from brama.actors import (
    Actor,
    ActorSystem,
    BlockingActor,
    ChildSpec,
    InlineActor,
    Killed,
    Normal,
    kill,
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
            await trio.sleep(1)


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
    first, second = ref.stop(block=False), ref.stop(block=False)
    assert stopping.wait(5)
    kill(ref)
    assert first.get(timeout=5) is True
    assert second.get(timeout=5) is True
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
