"""Monitors: exactly one Down."""

from __future__ import annotations

import pytest

from brama.actors import (
    Crash,
    Down,
    InlineActor,
    Killed,
    NoProc,
    Normal,
    kill,
    watch,
)
from brama.actors.testing import settle
from brama.telemetry import ConfigError


class Watcher(InlineActor):
    def __init__(self):
        super().__init__()
        self.downs = []

    def on_receive(self, message):
        if isinstance(message, Down):
            self.downs.append(message)
            return None
        return message(self)


class Target(InlineActor):
    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        self.exit(message)


async def downs(watcher):
    return await watcher.ask(lambda self: self.downs, block=False)


async def monitor(watcher, target):
    return await watcher.ask(lambda self: self.monitor(target), block=False)


@pytest.mark.requirement("actors:links-monitors")
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda ref: ref.stop(block=False), Normal),
        (lambda ref: ref.tell(ValueError()), Crash),
        (kill, Killed),
    ],
    ids=["stop", "crash", "kill"],
)
async def test_one_down_arrives_with_the_reason(system, end, reason):
    watcher, target = system.spawn(Watcher), system.spawn(Target)
    mine = await monitor(watcher, target)
    end(target)
    await settle(system)
    (down,) = await downs(watcher)
    assert (down.monitor, down.ref) == (mine, target)
    assert isinstance(down.reason, reason)


@pytest.mark.requirement("actors:links-monitors")
async def test_a_dead_target_is_down_at_once(system):
    watcher, target = system.spawn(Watcher), system.spawn(Target)
    kill(target)
    await monitor(watcher, target)
    (down,) = await downs(watcher)
    assert down.reason == NoProc()


@pytest.mark.requirement("actors:links-monitors")
async def test_each_of_several_monitors_fires_once(system):
    watcher, target = system.spawn(Watcher), system.spawn(Target)
    made = [await monitor(watcher, target) for _ in range(3)]
    kill(target)
    await settle(system)
    assert [down.monitor for down in await downs(watcher)] == made


async def test_a_cancelled_monitor_is_silent_even_when_its_down_is_queued(system):
    watcher, target = system.spawn(Watcher), system.spawn(Target)
    mine = await monitor(watcher, target)

    def end_then_cancel(self):
        kill(target)  # its Down is in our mailbox now, behind this message
        mine.cancel()

    watcher.tell(end_then_cancel)
    assert await downs(watcher) == []


async def test_a_demonitor_without_flush_lets_the_queued_down_arrive(system):
    watcher, target = system.spawn(Watcher), system.spawn(Target)
    mine = await monitor(watcher, target)
    answers = []

    def end_then_demonitor(self):
        kill(target)
        answers.append(self.demonitor(mine))

    watcher.tell(end_then_demonitor)
    assert [down.ref for down in await downs(watcher)] == [target]
    assert answers == [False]


async def test_a_demonitor_with_flush_drops_the_queued_down(system):
    watcher, target = system.spawn(Watcher), system.spawn(Target)
    mine = await monitor(watcher, target)

    def end_then_demonitor(self):
        kill(target)
        self.demonitor(mine, flush=True)

    watcher.tell(end_then_demonitor)
    assert await downs(watcher) == []


async def test_a_demonitor_in_time_says_so_and_leaves_the_other_monitors(system):
    watcher, target = system.spawn(Watcher), system.spawn(Target)
    first, second = await monitor(watcher, target), await monitor(watcher, target)
    assert await watcher.ask(lambda self: self.demonitor(first), block=False) is True
    kill(target)
    assert [down.monitor for down in await downs(watcher)] == [second]


async def test_a_name_may_be_monitored_and_one_that_nobody_holds_is_down_at_once(system):
    watcher = system.spawn(Watcher)
    target = system.spawn(Target, name="target")
    await monitor(watcher, system.names.via("target"))
    kill(target)
    nobody = system.names.via("nobody")
    await monitor(watcher, nobody)
    first, second = await downs(watcher)
    assert (first.reason, second.reason) == (Killed(), NoProc())
    assert second.ref is nobody


async def test_a_long_lived_watcher_does_not_remember_targets_that_are_gone(system):
    watcher = system.spawn(Watcher)
    for _ in range(100):
        target = system.spawn(Target)
        await monitor(watcher, target)
        kill(target)
    assert len(await downs(watcher)) == 100
    assert not watcher.actor_inbox.monitors


async def test_a_down_comes_behind_what_the_target_sent_before(system):
    order = []

    class Talker(InlineActor):
        def on_receive(self, to):
            to.tell(lambda self: order.append("word"))
            self.exit()

    class Listener(Watcher):
        def on_receive(self, message):
            if isinstance(message, Down):
                order.append("down")
                return None
            return message(self)

    listener, talker = system.spawn(Listener), system.spawn(Talker)
    await monitor(listener, talker)
    talker.tell(listener)
    await settle(system)
    assert order == ["word", "down"]


async def test_monitors_of_the_dead_do_not_pile_up_at_a_long_lived_target(system):
    target = system.spawn(Target)
    for _ in range(20):
        watcher = system.spawn(Watcher)
        await monitor(watcher, target)
        kill(watcher)
    assert not target.actor_inbox.watchers


async def test_plain_code_may_watch_too(system):
    target, reasons = system.spawn(Target), []
    watch(target, reasons.append)
    target.tell(Normal())
    await settle(system)
    watch(target, reasons.append)
    assert reasons == [Normal(), NoProc()]


async def test_a_foreign_ref_is_refused(system):
    import pykka

    class Foreign(pykka.ThreadingActor):
        use_daemon_thread = True

    foreign = Foreign.start()
    try:
        with pytest.raises(ConfigError, match=r"ref must be a ref of an actor of brama\.actors"):
            watch(foreign, print)
    finally:
        foreign.stop()
