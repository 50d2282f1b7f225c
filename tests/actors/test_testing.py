"""The helpers for tests, used as their users use them."""

from __future__ import annotations

import threading
import time

import pytest
import trio
import trio.testing

from brama.actors import (
    Actor,
    ActorStartError,
    ActorSystem,
    BlockingActor,
    ChildNotFoundError,
    ChildSpec,
    Crash,
    InlineActor,
    Killed,
    Normal,
    Shutdown,
    kill,
    testing,
)
from brama.actors.testing import (
    InjectedFault,
    assert_down,
    assert_down_blocking,
    expect_down,
    fault,
    run_virtual,
    running,
    seeded_schedule,
    settle,
    settle_blocking,
    start_supervised,
    start_supervised_blocking,
    stop_supervised,
    virtual,
)
from brama.telemetry import ConfigError


class Inline(InlineActor):
    def __init__(self, log=None):
        super().__init__()
        self.log = [] if log is None else log

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        if callable(message):
            return message(self)
        self.log.append(message)
        return len(self.log)


class Async(Actor):
    def __init__(self, log=None):
        super().__init__()
        self.log = [] if log is None else log

    async def on_receive(self, message):
        return Inline.on_receive(self, message)


class Blocking(BlockingActor):
    def __init__(self, log=None):
        super().__init__()
        self.log = [] if log is None else log

    on_receive = Inline.on_receive


KINDS = [Inline, Async, Blocking]
every_kind = pytest.mark.parametrize("kind", KINDS)


def test_everything_public_is_documented_and_exported():
    for name in testing.__all__:
        assert getattr(testing, name).__doc__, name


# children


async def test_a_supervised_child_is_restarted_and_ends_with_the_system(system):
    log = []
    first = await start_supervised(system, Inline, log, name="child")
    first.tell(ValueError())
    await settle(system)
    second = system.names.whereis("child")
    assert second is not None
    assert second is not first
    with expect_down(second, Shutdown):
        system.request_stop()
        await system.scheduler.idle()
        await trio.testing.wait_all_tasks_blocked()


async def test_a_supervised_child_may_be_given_as_a_spec_with_changes(system):
    ref = await start_supervised(system, ChildSpec("a", Inline), id="b", name="named")
    assert system.names.whereis("named") is ref
    assert system.tree().find("b") is not None


async def test_a_child_that_does_not_start_fails_the_test(system):
    with fault(Inline, "on_start"), pytest.raises(ActorStartError):
        await start_supervised(system, Inline)


@pytest.mark.parametrize("restart", ["permanent", "temporary"])
async def test_a_supervised_child_can_be_stopped_and_is_forgotten(system, restart):
    ref = await start_supervised(system, Inline, id="a", restart=restart)
    await stop_supervised(system, "a")
    assert not ref.is_alive()
    with pytest.raises(ChildNotFoundError):
        await stop_supervised(system, "a")


def test_a_supervised_child_is_started_from_a_plain_thread(threaded):
    ref = start_supervised_blocking(threaded, Blocking)
    assert ref.ask("x", timeout=5) == 1


# endings


@every_kind
def test_the_end_of_an_actor_is_asserted_with_its_reason(threaded, kind):
    ref = threaded.spawn(kind)
    ref.tell(KeyError("x"))
    assert_down_blocking(ref, KeyError, within=5)
    assert_down_blocking(ref, LookupError)  # again, long after, by a base class
    assert_down_blocking(ref, Crash)
    assert_down_blocking(ref)
    with pytest.raises(
        AssertionError, match=r"ended for Crash\(KeyError\), expected was ValueError"
    ):
        assert_down_blocking(ref, ValueError)
    with pytest.raises(AssertionError, match="expected was Normal"):
        assert_down_blocking(ref, Normal)


async def test_an_actor_that_lives_on_fails_the_assertion(system, autojump_clock):
    ref = system.spawn(Inline)
    with pytest.raises(AssertionError, match=r"is alive after 60 s"):
        await assert_down(ref, within=60)
    assert trio.current_time() >= 60


async def test_the_end_may_come_while_the_assertion_waits(system, autojump_clock):
    ref = system.spawn(Inline)
    ref.tell(lambda self: self.after(30, Shutdown("later")))
    ref.tell(lambda self: setattr(self, "on_receive", self.exit))
    await assert_down(ref, Shutdown("later"), within=60)
    with pytest.raises(AssertionError, match=r"Shutdown\(detail='later'\), expected was"):
        await assert_down(ref, Shutdown("sooner"))


async def test_an_end_that_is_expected_within_a_block(system):
    ref = system.spawn(Inline, name="x")
    with expect_down(system.names.via("x"), Killed):
        kill(ref)
    with pytest.raises(AssertionError, match="had ended before"), expect_down(ref):
        pass
    alive = system.spawn(Inline)
    with pytest.raises(AssertionError, match="is alive after the block"), expect_down(alive):
        pass


# faults


@every_kind
@pytest.mark.parametrize("hook", ["on_start", "on_receive", "on_stop", "__init__"])
def test_a_fault_strikes_in_every_hook_of_every_kind(threaded, kind, hook):
    with fault(kind, hook, OSError("injected")) as injected:
        if hook == "__init__":
            with pytest.raises(OSError, match="injected"):
                threaded.spawn(kind)
        else:
            ref = threaded.spawn(kind)
            if hook == "on_receive":
                ref.tell("x")
            elif hook == "on_stop":
                ref.stop(block=False)
            assert_down_blocking(ref, OSError, within=5)
    assert injected.struck == 1
    assert threaded.spawn(kind).ask("x", timeout=5) == 1  # and is gone


@every_kind
def test_a_fault_in_on_failure_strikes_while_another_is_handled(threaded, kind):
    with fault(kind, "on_failure") as injected:
        ref = threaded.spawn(kind)
        ref.tell(ValueError())
        assert_down_blocking(ref, ValueError, within=5)
    assert injected.struck == 1


async def test_a_fault_may_let_calls_pass_and_strike_several_times(system):
    log = []
    with fault(Inline, "on_receive", after=2, times=2) as injected:
        ref = system.spawn(Inline, log)
        answers = [ref.ask(number, block=False) for number in range(6)]
        for future in answers[2:4]:
            with pytest.raises(InjectedFault):
                await future
        assert await answers[5] == 4
    assert log == [0, 1, 4, 5]
    assert (injected.calls, injected.struck) == (6, 2)


async def test_a_fault_may_look_at_the_message(system):
    with fault(Inline, "on_receive", ValueError, times=None, when=lambda message: message == "bad"):
        ref = system.spawn(Inline)
        assert await ref.ask("good", block=False) == 1
        with pytest.raises(ValueError):
            await ref.ask("bad", block=False)


async def test_a_fault_may_delay_an_async_hook(system, autojump_clock):
    began = trio.current_time()
    with fault(Async, "on_receive", lambda actor, message: trio.sleep(60)):
        assert await system.spawn(Async).ask("x", block=False) == 1
    assert trio.current_time() - began >= 60


async def test_a_fault_in_a_class_strikes_subclasses_that_inherit_the_hook(system):
    class Child(Inline):
        pass

    with fault(Inline, "on_start") as injected:
        await assert_down(system.spawn(Child), InjectedFault)
    assert injected.struck == 1
    assert system.spawn(Child).is_alive()
    assert not Child._own_on_start
    assert "on_start" not in Inline.__dict__


@pytest.mark.parametrize(
    ("cls", "hook", "text"), [(object, "on_stop", "an actor class"), (Inline, "on_stpo", "on_stop")]
)
def test_a_wrong_target_of_a_fault_is_refused(cls, hook, text):
    with pytest.raises(ConfigError, match=text), fault(cls, hook):
        pass


# time


@every_kind
def test_a_virtual_clock_moves_when_the_test_says_so(kind):
    beats = []
    with virtual(ActorSystem("test")) as clock:
        ref = clock.system.spawn(kind, beats)
        ref.tell(lambda self: self.every(10, "beat") and None)
        settle_blocking(clock.system)
        began = time.monotonic()
        clock.advance(9)
        assert beats == []
        clock.advance(1)
        assert beats == ["beat"]
        clock.advance(3600)
        assert len(beats) == 361  # none is skipped, as it would be in one jump
        assert clock.now == 3610
        assert time.monotonic() - began < 5
    assert not clock.system.running


def test_a_tree_that_does_not_start_is_raised_where_the_test_sees_it():
    with fault(Inline, "on_start", OSError("no network")):
        system = ActorSystem("test", children=[ChildSpec("a", Inline)])
        with pytest.raises(ActorStartError, match="no network"), virtual(system):
            pytest.fail("it is not up")


def test_a_virtual_system_whose_actor_hangs_is_stopped_all_the_same():
    system = ActorSystem("test", stop_timeout=0.2)
    with virtual(system):
        ref = system.spawn(Async)
        with fault(Async, "on_receive", lambda actor, message: trio.sleep_forever()) as injected:
            ref.tell("x")
            settle_time = time.monotonic() + 5
            while not injected.struck and time.monotonic() < settle_time:
                threading.Event().wait(0.001)
    assert not ref.is_alive()


def test_an_async_test_runs_in_virtual_time_without_a_plugin():
    async def scenario(answer):
        async with running(ActorSystem("test")) as system:
            ref = await start_supervised(system, Inline)
            ref.tell(lambda self: self.after(3600, "late"))
            await trio.sleep(3601)
            assert await ref.ask("x", block=False) == 2
        return answer

    assert run_virtual(scenario, 42) == 42


# order


async def race(order, width=8):
    async def run(number):
        for _ in range(4):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(width):
            nursery.start_soon(run, number)


def one_order(seed):
    order = []
    with seeded_schedule(seed):
        trio.run(race, order)
    return order


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_decides_the_order_of_tasks(seed):
    assert one_order(seed) == one_order(seed)


def test_different_seeds_lead_to_different_orders():
    assert len({tuple(one_order(seed)) for seed in range(10)}) > 5


def test_a_seeded_virtual_run_is_repeatable():
    def one():
        order = []
        run_virtual(race, order, seed=7)
        return order

    assert one() == one()


def test_after_the_seeded_schedule_trio_is_as_before():
    import trio._core._run as trio_run

    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()
    one_order(1)
    assert (trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r.getstate()) == before
