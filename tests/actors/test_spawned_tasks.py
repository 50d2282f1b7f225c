"""Tasks beside an actor's messages, which end with it."""

from __future__ import annotations

import pytest
import trio

from brama.actors import Actor, ActorDeadError, ActorSystem, Crash, kill, watch
from brama.actors.testing import running, settle


class Host(Actor):
    """Spawns a task that beats, and notes how it ends."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    async def on_start(self):
        self.scope = self.spawn(self._beat, 1)

    async def _beat(self, seconds):
        try:
            while True:
                await trio.sleep(seconds)
                self.log.append("beat")
        finally:
            self.log.append("task over")

    async def on_receive(self, message):
        if message == "cancel":
            self.scope.cancel()
        elif isinstance(message, BaseException):
            self.spawn(self._fail, message)
        else:
            await trio.sleep(message)
        return "handled"

    async def _fail(self, error):
        await trio.lowlevel.checkpoint()
        raise error

    async def on_stop(self):
        self.log.append("on_stop")

    async def on_failure(self, *_exc):
        self.log.append("on_failure")


@pytest.mark.requirement("actors:one-message-at-a-time")
async def test_a_spawned_task_runs_beside_the_messages(system, autojump_clock):
    log = []
    ref = system.spawn(Host, log)
    assert await ref.acall(2.5) == "handled"
    assert log == ["beat", "beat"]


@pytest.mark.parametrize("way", ["stop", "kill", "crash"])
async def test_spawned_tasks_end_with_their_actor_and_before_its_on_stop(
    system, autojump_clock, way
):
    log = []
    ref = system.spawn(Host, log)
    await ref.acall(0.5)
    if way == "stop":
        await ref.stop(block=False)
    elif way == "kill":
        kill(ref)
    else:
        ref.tell("not a number")
    await settle(system)
    await trio.sleep(5)
    assert (
        log
        == {
            "stop": ["task over", "on_stop"],
            "kill": ["task over"],
            "crash": ["task over", "on_failure"],
        }[way]
    )


async def test_a_spawned_task_can_be_cancelled_alone(system, autojump_clock):
    log = []
    ref = system.spawn(Host, log)
    await ref.acall("cancel")
    await trio.sleep(5)
    assert log == ["task over"]
    assert ref.is_alive()


@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(), GeneratorExit()])
async def test_what_a_spawned_task_raises_ends_the_actor_at_once(
    system, autojump_clock, caplog, error
):
    reasons = []
    ref = system.spawn(Host, [])
    watch(ref, reasons.append)
    assert await ref.acall(error) == "handled"
    busy = ref.ask(1000, block=False)
    with pytest.raises(ActorDeadError):
        await busy
    await settle(system)
    assert reasons == [Crash(error)]
    assert reasons[0].error is error
    assert "Unhandled exception" in caplog.text


async def test_a_spawned_task_sees_the_variables_of_its_actor(system):
    from contextvars import ContextVar

    var = ContextVar("var", default="unset")
    seen = []

    class Setting(Actor):
        async def on_receive(self, message):
            var.set(message)
            self.spawn(self._look)

        async def _look(self):
            seen.append(var.get())

    system.spawn(Setting).tell("set")
    await settle(system)
    assert seen == ["set"]


async def test_a_spawned_task_that_does_not_end_is_named_by_the_stop(caplog):
    release = trio.Event()

    class Stubborn(Actor):
        async def on_start(self):
            self.spawn(self._hang)

        async def _hang(self):
            with trio.CancelScope(shield=True):
                await release.wait()

    system = ActorSystem("stubborn", stop_timeout=0.2)
    async with running(system):
        system.spawn(Stubborn)
        await trio.testing.wait_all_tasks_blocked()
    assert any("_hang of Stubborn" in who for who in system.stop().unstoppable)
    release.set()
    await trio.testing.wait_all_tasks_blocked()


async def test_an_actor_that_is_ending_spawns_nothing(system):
    class Late(Actor):
        async def on_stop(self):
            self.spawn(trio.sleep, 1)

    reasons = []
    ref = system.spawn(Late)
    watch(ref, reasons.append)
    await ref.stop(block=False)
    assert isinstance(reasons[0].error, ActorDeadError)
