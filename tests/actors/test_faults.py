"""What hooks may do wrong, and that nobody else suffers for it."""

from __future__ import annotations

import gc
import os
import signal
import sys

import pytest
import trio

from brama.actors import (
    Actor,
    ActorDeadError,
    ActorSystem,
    BlockingActor,
    Crash,
    InlineActor,
    kill,
    watch,
)
from brama.actors.testing import running, settle
from brama.telemetry import ConfigError

KINDS = {"inline": InlineActor, "async": Actor, "blocking": BlockingActor}
FATAL = [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException]


def actor(kind, **hooks):
    """A class of that kind; each hook is given as a plain function."""

    def coloured(hook):
        async def hook_async(self, *args):
            await trio.lowlevel.checkpoint()
            return hook(self, *args)

        return hook_async if kind == "async" else hook

    return type("Faulty", (KINDS[kind],), {name: coloured(hook) for name, hook in hooks.items()})


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


async def end_of(ref):
    """The exit reason of ``ref``."""
    ended, reasons = trio.Event(), []
    token = trio.lowlevel.current_trio_token()

    def note(reason):
        reasons.append(reason)
        token.run_sync_soon(ended.set)

    watch(ref, note)
    with trio.fail_after(5):
        await ended.wait()
    return reasons[0]


def raiser(error):
    def hook(self, *_args):
        raise error

    return hook


async def forgotten():
    """A coroutine that nobody awaits."""


def forget(self, *_args):
    return forgotten()


@pytest.mark.requirement("actors:handler-kinds")
async def test_a_coroutine_out_of_a_handler_is_an_error_to_the_asker(system, kind):
    ref = system.spawn(actor(kind, on_receive=forget))
    with pytest.raises(TypeError, match="is a coroutine that nobody awaits"):
        await ref.ask(1, block=False)
    gc.collect()  # a RuntimeWarning of Python's would be an error here


@pytest.mark.requirement("actors:handler-kinds")
async def test_a_coroutine_out_of_a_handler_of_a_tell_is_a_crash(system, kind):
    ref = system.spawn(actor(kind, on_receive=forget))
    ref.tell(1)
    reason = await end_of(ref)
    assert isinstance(reason, Crash)
    assert isinstance(reason.error, TypeError)


@pytest.mark.requirement("actors:handler-kinds")
async def test_a_coroutine_out_of_on_start_is_a_failed_start(system, kind):
    ref = system.spawn(actor(kind, on_start=forget))
    if ref.is_alive():
        assert isinstance((await end_of(ref)).error, TypeError)
    assert not ref.is_alive()


@pytest.mark.requirement("actors:handler-kinds")
async def test_a_coroutine_out_of_on_stop_is_a_crash(system, kind):
    ref = system.spawn(actor(kind, on_stop=forget))
    ref.stop(block=False)
    assert isinstance((await end_of(ref)).error, TypeError)


@pytest.mark.requirement("actors:handler-kinds")
async def test_a_coroutine_out_of_on_failure_is_reported(system, kind, caplog):
    ref = system.spawn(actor(kind, on_receive=raiser(ValueError("first")), on_failure=forget))
    ref.tell(1)
    assert str((await end_of(ref)).error) == "first"
    errors = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [type(error) for error in errors] == [ValueError, TypeError]


@pytest.mark.requirement("actors:handler-kinds")
async def test_a_coroutine_out_of_a_method_called_by_proxy_is_awaited_or_an_error(system, kind):
    async def work(self):
        return 42

    cls = actor(kind)
    cls.work = work
    future = system.spawn(cls).proxy().work()
    if kind == "async":
        assert await future == 42
    else:
        with pytest.raises(TypeError, match="nobody awaits"):
            await future


@pytest.mark.requirement("actors:no-lost-replies")
@pytest.mark.parametrize("error", FATAL)
async def test_whatever_a_handler_raises_the_asker_hears_it_and_only_that_actor_ends(
    system, kind, error
):
    other = system.spawn(actor(kind))
    ref = system.spawn(actor(kind, on_receive=raiser(error("mine"))))
    with pytest.raises(error):
        await ref.ask(1, block=False)
    assert not ref.is_alive()
    assert other.is_alive()
    await settle(system)


@pytest.mark.parametrize("error", FATAL)
@pytest.mark.parametrize("hook", ["on_start", "on_receive", "on_stop", "on_failure"])
async def test_the_loop_outlives_whatever_any_hook_raises(system, kind, hook, error):
    hooks = {hook: raiser(error("mine"))}
    if hook == "on_failure":
        hooks["on_receive"] = raiser(ValueError())
    ref = system.spawn(actor(kind, **hooks))
    try:
        if hook == "on_stop":
            ref.stop(block=False)
        elif hook != "on_start":
            ref.tell(1)
    except ActorDeadError:
        pass
    if ref.is_alive():
        assert isinstance(await end_of(ref), Crash)
    assert not ref.is_alive()
    assert (
        await system.spawn(actor("inline", on_receive=lambda self, x: x)).ask(1, block=False) == 1
    )


@pytest.mark.parametrize("policy", ["reply", "crash"])
@pytest.mark.requirement("actors:ask-error-policy")
async def test_an_error_of_a_request_is_a_reply_or_a_crash_by_the_class(system, kind, policy):
    cls = actor(kind, on_receive=lambda self, error: (_ for _ in ()).throw(error))
    cls.error_policy = policy
    ref = system.spawn(cls)
    with pytest.raises(ValueError, match="mine"):
        await ref.ask(ValueError("mine"), block=False)
    assert ref.is_alive() is (policy == "reply")
    if policy == "reply":
        with pytest.raises(KeyError):
            await ref.ask(KeyError(), block=False)


def test_an_unknown_error_policy_is_refused_with_the_class():
    with pytest.raises(ConfigError, match=r"Odd\.error_policy must be 'reply' or 'crash'"):
        type("Odd", (InlineActor,), {"error_policy": "ignore"})


async def test_a_stale_cancellation_out_of_a_hook_ends_that_actor_alone(system):
    stale = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.sleep_forever()
        except trio.Cancelled as error:
            stale.append(error)
            raise
    ref = system.spawn(actor("async", on_receive=raiser(stale[0])))
    future = ref.ask(1, block=False)
    assert isinstance((await end_of(ref)).error, trio.Cancelled)
    with pytest.raises(ActorDeadError):
        await future
    assert await system.spawn(actor("async", on_receive=lambda self, x: x)).ask(1, block=False) == 1


async def test_a_group_of_cancellations_is_the_kill_that_caused_them(system):
    inside = trio.Event()

    class Nested(Actor):
        async def on_receive(self, message):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(trio.sleep_forever)
                inside.set()

    ref = system.spawn(Nested)
    ref.tell(1)
    await inside.wait()
    kill(ref)
    assert type(await end_of(ref)).__name__ == "Killed"


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_task_that_shields_itself_does_not_keep_run_from_returning(caplog):
    release, inside = trio.Event(), trio.Event()

    class Shielded(Actor):
        async def on_receive(self, message):
            with trio.CancelScope(shield=True):
                inside.set()
                await release.wait()

    system = ActorSystem("stubborn", stop_timeout=0.2)
    with trio.fail_after(5):
        async with running(system):
            ref = system.spawn(Shielded)
            ref.tell(1)
            await inside.wait()
    assert not ref.is_alive()
    report = system.stop()
    assert report.complete is False
    assert any("Shielded" in who for who in report.unstoppable)
    assert "cannot be stopped" in caplog.text
    # And the system can be used again while the task is still there.
    async with running(system):
        assert await system.spawn(actor("inline", on_receive=lambda self, x: x)).acall(1) == 1
    release.set()
    await trio.testing.wait_all_tasks_blocked()


def test_a_task_that_shields_itself_does_not_keep_the_thread_of_a_system_from_being_replaced():
    release = []

    class Shielded(Actor):
        async def on_receive(self, message):
            event = trio.Event()
            release.append((trio.lowlevel.current_trio_token(), event))
            with trio.CancelScope(shield=True):
                await event.wait()

    system = ActorSystem("stubborn", stop_timeout=0.3).start()
    ref = system.spawn(Shielded)
    ref.tell(1)
    while not release:
        pass
    report = system.stop()
    assert any("Shielded" in who for who in report.unstoppable)
    assert report.elapsed < 2
    with system:
        assert system.spawn(actor("inline", on_receive=lambda self, x: x)).call(1) == 1
    token, event = release[0]
    token.run_sync_soon(event.set)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_an_interrupt_goes_to_the_host_and_not_into_a_handler_on_its_loop():
    handled = []

    class Busy(Actor):
        async def on_receive(self, message):
            os.kill(os.getpid(), signal.SIGINT)
            handled.append(sum(range(10_000)))

    async def main():
        async with running(ActorSystem("interrupted")) as system:
            system.spawn(Busy).tell(1)
            await trio.sleep(5)

    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(main)
    assert caught.group_contains(KeyboardInterrupt)
    assert handled
