"""Timers: one-shot, interval, by key; on a virtual clock."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import trio

from brama.actors import (
    Actor,
    ActorDeadError,
    BlockingActor,
    InlineActor,
    kill,
    send_after,
    send_interval,
)
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


def test_a_blocking_actor_may_set_replace_and_cancel_as_fast_as_it_can(threaded):
    class Busy(BlockingActor):
        def on_receive(self, message):
            for index in range(2_000):
                self.after(0.0, "x", key=index % 7)
                if index % 3 == 0:
                    self.cancel_timer(index % 7)
            return "done"

    class Patient(Busy):
        def on_receive(self, message):
            return super().on_receive(message) if message == "go" else None

    ref = threaded.spawn(Patient)
    assert ref.ask("go", timeout=10) == "done"
    ref.stop(timeout=5)
    threaded.spawn(Clocked, [0]).ask(lambda self: None, timeout=5)
    assert len(threaded.timers) == 0


def test_a_killed_thread_that_goes_on_can_set_no_timer(threaded):
    going, over, timers = threading.Event(), threading.Event(), []

    class Stubborn(BlockingActor):
        def on_receive(self, message):
            going.set()
            self.actor_stopped.wait(5)
            timers.append(self.every(0.001, "beat"))
            over.set()

    ref = threaded.spawn(Stubborn)
    ref.tell("go")
    assert going.wait(5)
    kill(ref)
    assert over.wait(5)
    assert not timers[0].active
    threaded.spawn(Clocked, [0]).ask(lambda self: None, timeout=5)
    assert len(threaded.timers) == 0


@pytest.mark.requirement("actors:timers")
@pytest.mark.parametrize("kind", [InlineActor, BlockingActor])
def test_a_plain_thread_sets_timers_for_an_actor(threaded, kind):
    got = threading.Event()

    class Target(kind):
        def on_receive(self, message):
            got.set()

    ref = threaded.spawn(Target)
    late = send_after(ref, 1000, "late")
    send_after(ref, 0.01, "now")
    assert got.wait(5)
    assert late.active
    assert late.cancel() is True
    assert late.cancel() is False
    beat = send_interval(ref, 1000, "beat")
    ref.stop(timeout=5)
    assert not beat.active
    assert beat.cancel() is False


async def test_a_timer_from_outside_follows_the_virtual_clock(system, autojump_clock):
    log = []
    ref = clocked(system, log)
    send_after(ref, timedelta(minutes=1), "once")
    timer = send_interval(ref, 40, "beat")
    await trio.sleep(100)
    timer.cancel()
    await trio.sleep(100)
    assert log[1:] == [("beat", 40), ("once", 60), ("beat", 80)]


async def test_a_timer_for_the_dead_is_refused(system):
    ref = system.spawn(Clocked, [0])
    kill(ref)
    with pytest.raises(ActorDeadError, match="no timer can be set"):
        send_after(ref, 1, "x")
    with pytest.raises(ActorDeadError, match="<via 'nobody'> is dead"):
        send_interval(system.names.via("nobody"), 1, "x")


async def test_missed_beats_are_skipped_and_the_rhythm_is_kept(system, autojump_clock):
    log = []
    ref = clocked(system, log)
    ref.tell(lambda self: self.every(10, "tick"))
    await trio.sleep(15)
    autojump_clock.jump(27)  # the loop is away until 42: the beats of 20, 30 and 40 are due at once
    await trio.sleep(20)
    assert log[1:] == [("tick", 10), ("tick", 42), ("tick", 50), ("tick", 60)]


@pytest.mark.requirement("actors:timers")
async def test_a_hundred_thousand_pending_timers_wake_nobody(system, autojump_clock):
    class Steps(trio.abc.Instrument):
        count = 0

        def before_task_step(self, task):
            self.count += 1

    ref = clocked(system, [])

    async def steps_of_an_hour():
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        for _ in range(60):
            await trio.sleep(60)
        trio.lowlevel.remove_instrument(steps)
        return steps.count

    alone = await steps_of_an_hour()

    def fill(self):
        for index in range(100_000):
            self.after(10_000 + index, "far", key=index)

    ref.tell(fill)
    await settle(system)
    assert len(system.timers) == 100_000
    assert await steps_of_an_hour() == alone
    kill(ref)
    assert len(system.timers) == 0
    assert system.timers._heap == []


async def test_many_timers_of_one_instant_leave_the_loop_to_others_in_between(
    system, autojump_clock
):
    order = []

    class Counter(InlineActor):
        def on_receive(self, message):
            if callable(message):
                return message(self)
            order.append(message)
            return None

    async def bystander():
        while len(order) < 5_000:
            order.append("bystander")
            await trio.lowlevel.checkpoint()

    system.spawn(Counter).tell(lambda self: [self.after(5, index) for index in range(5_000)])
    await settle(system)
    async with trio.open_nursery() as nursery:
        await trio.sleep(5)
        nursery.start_soon(bystander)
    await settle(system)
    assert [item for item in order if item != "bystander"] == list(range(5_000))
    assert order.index("bystander") < order.index(4_999)


@pytest.mark.parametrize("seconds", [-1, float("nan"), "1", None, True])
async def test_a_time_that_is_none_is_refused(system, seconds):
    with pytest.raises(ConfigError, match="seconds must be a number of seconds, 0 or more"):
        await system.spawn(Clocked, [0]).ask(lambda self: self.after(seconds, "x"), block=False)


async def test_an_interval_of_zero_is_refused(system):
    with pytest.raises(ConfigError, match="seconds must be a positive number of seconds"):
        await system.spawn(Clocked, [0]).ask(lambda self: self.every(0, "x"), block=False)


async def test_one_timer_and_several_are_kept_by_key_alike(system, autojump_clock):
    log = []
    ref = clocked(system, log)

    def one_then_more(actor):
        actor.after(3, "replaced", key="a")
        actor.after(2, "a", key="a")
        actor.after(1, "b", key="b")
        actor.after(4, "c", key="c")
        return [actor.cancel_timer(key) for key in ("c", "c", "none")]

    assert await ref.ask(one_then_more, block=False) == [True, False, False]
    await trio.sleep(10)
    assert log[1:] == [("b", 1), ("a", 2)]
    assert await ref.ask(lambda actor: actor.cancel_timer("a"), block=False) is False


async def test_a_key_that_cannot_be_one_is_refused_with_the_first_timer(system):
    ref = clocked(system, [])
    with pytest.raises(ConfigError, match="key must be a hashable value"):
        await ref.ask(lambda actor: actor.after(1, "never", key=[]), block=False)
