"""Timers: one-shot, interval, by key; on a virtual clock."""

from __future__ import annotations

import threading

import pytest
import trio

from brama.actors import Actor, BlockingActor, InlineActor, kill
from brama.actors.testing import settle
from brama.telemetry import ConfigError


class Clocked(InlineActor):
    """Does what it is told about timers, and notes when messages arrive."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    def on_receive(self, message):
        if callable(message):
            return message(self)
        self.log.append((message, round(trio.current_time() - self.log[0], 3)))
        return None


def clocked(system, log):
    log.append(trio.current_time())
    return system.spawn(Clocked, log)


@pytest.mark.requirement("actors:timers")
async def test_a_message_arrives_after_the_given_time_and_once(system, autojump_clock):
    log = []
    clocked(system, log).tell(lambda self: self.after(60, "tick"))
    await trio.sleep(1000)
    assert log[1:] == [("tick", 60)]


@pytest.mark.requirement("actors:timers")
async def test_an_interval_goes_on_without_drift_until_it_is_cancelled(system, autojump_clock):
    log = []
    ref = clocked(system, log)
    ref.tell(lambda self: self.every(10, "tick", key="t"))
    await trio.sleep(35)
    assert await ref.ask(lambda self: self.cancel_timer("t"), block=False) is True
    assert await ref.ask(lambda self: self.cancel_timer("t"), block=False) is False
    await trio.sleep(100)
    assert log[1:] == [("tick", 10), ("tick", 20), ("tick", 30)]


@pytest.mark.requirement("actors:timers")
async def test_a_timer_with_the_same_key_replaces_the_earlier_one(system, autojump_clock):
    log = []
    ref = clocked(system, log)
    ref.tell(lambda self: self.after(10, "old", key="k"))
    ref.tell(lambda self: self.after(20, "new", key="k"))
    await trio.sleep(100)
    assert log[1:] == [("new", 20)]


async def test_an_earlier_timer_overtakes_one_that_is_waited_for(system, autojump_clock):
    log = []
    ref = clocked(system, log)
    ref.tell(lambda self: self.after(50, "late"))
    await trio.sleep(1)
    ref.tell(lambda self: self.after(1, "early"))
    await trio.sleep(100)
    assert log[1:] == [("early", 2), ("late", 50)]


async def test_timers_of_the_same_instant_fire_in_the_order_of_setting(system, autojump_clock):
    log = []
    ref = clocked(system, log)
    for item in "abcde":
        ref.tell(lambda self, item=item: self.after(5, item))
    await trio.sleep(10)
    assert [entry[0] for entry in log[1:]] == list("abcde")


@pytest.mark.requirement("actors:timers")
@pytest.mark.parametrize("end", ["stop", "kill", "crash"])
async def test_timers_die_with_their_actor(system, autojump_clock, end):
    log = []
    ref = clocked(system, log)
    ref.tell(lambda self: (self.every(1, "beat"), self.after(5, "x")))
    await settle(system)
    assert len(system.timers) == 2
    if end == "stop":
        ref.stop(block=False)
    elif end == "kill":
        kill(ref)
    else:
        ref.tell(lambda self: 1 / 0)
    await settle(system)
    assert len(system.timers) == 0
    await trio.sleep(10)
    assert log[1:] == []


async def test_cancelled_timers_do_not_pile_up_on_the_heap(system, autojump_clock):
    def churn(self):
        for _ in range(10_000):
            self.after(1000, "x", key="k")

    ref = clocked(system, [])
    ref.tell(churn)
    await settle(system)
    assert len(system.timers) == 1
    assert len(system.timers._heap) < 200


async def test_an_async_actor_has_timers_too(system, autojump_clock):
    got = trio.Event()

    class Later(Actor):
        async def on_start(self):
            self.after(5, "now")

        async def on_receive(self, message):
            got.set()

    system.spawn(Later)
    await got.wait()
    assert trio.current_time() >= 5


def test_a_blocking_actor_has_timers_on_its_own_thread(threaded):
    got = threading.Event()

    class Later(BlockingActor):
        def on_start(self):
            self.after(0.01, "now")

        def on_receive(self, message):
            self.where = threading.current_thread().name
            got.set()

    ref = threaded.spawn(Later)
    assert got.wait(5)
    assert ref.proxy().where.get(timeout=5).startswith("Later-")


@pytest.mark.parametrize("seconds", [-1, float("nan")])
async def test_a_time_that_is_none_is_refused(system, seconds):
    with pytest.raises(ConfigError, match="seconds must be a number of seconds, at least 0"):
        await system.spawn(Clocked, [0]).ask(lambda self: self.after(seconds, "x"), block=False)


async def test_an_interval_of_zero_is_refused(system):
    with pytest.raises(ConfigError, match="seconds must be a positive number of seconds"):
        await system.spawn(Clocked, [0]).ask(lambda self: self.every(0, "x"), block=False)
