"""Faults in every hook of every kind of actor, in every phase of its supervisor.

Whatever a hook does, the supervisor goes on answering, every ask ends, nothing is left when the
system has stopped, and the loop lives.
"""

from __future__ import annotations

import itertools

import pytest
import trio

from brama.actors import (
    ActorStartError,
    ActorSystem,
    ChildSpec,
    DynamicSupervisor,
    Ignore,
    Normal,
    Supervisor,
    count_children,
    kill,
    restart_child,
    start_child,
    terminate_child,
)
from brama.actors.testing import running

from .workers import KINDS, AsyncWorker, InlineWorker, Script, calm, refs

pytestmark = pytest.mark.usefixtures("clock")

HOOKS = ["constructor", "on_start", "on_receive", "on_stop", "on_failure"]
FAULTS = {
    "error": lambda: ValueError("planted"),
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "ignore": Ignore,
}
PHASES = ["start", "run", "ask", "restart", "terminate", "kill", "end"]


@pytest.mark.requirement("actors:start-acknowledgement")
@pytest.mark.parametrize(
    ("hook", "fault"),
    list(itertools.product(HOOKS, FAULTS)),
    ids=lambda value: value,
)
@pytest.mark.parametrize("parent", [Supervisor, DynamicSupervisor])
async def test_no_fault_in_any_hook_in_any_phase_harms_more_than_its_actor(
    worker, hook, fault, parent
):
    for phase in PHASES:
        system = ActorSystem("faults")
        async with running(system):
            await _play(system, worker, hook, FAULTS[fault], parent, phase)
            # The loop and the system are well, and a neighbour works.
            assert await system.spawn(InlineWorker).ask("hi", block=False) == "hi"
        assert not system.cells, (phase, system.cells)


async def _play(system, worker, hook, fault, parent, phase):
    sup = system.spawn(parent, intensity=5)
    neighbour = await start_child(sup, ChildSpec("n", worker, ("n",)))
    # The fault is armed from the start, or when the child stands.
    script = Script(**({hook: fault()} if phase == "start" else {}))
    spec = ChildSpec("x", worker, ("x", script), restart="transient")
    try:
        ref = await start_child(sup, spec)
    except ActorStartError:
        assert phase == "start"
        assert hook in ("constructor", "on_start")
        ref = None
    script.faults.setdefault(hook, fault())
    if ref is not None:
        if phase in ("run", "restart"):
            # A crash leads on to the constructor and on_start of a successor.
            ref.tell(ValueError("crash") if phase == "restart" else "work")
        elif phase == "ask":
            with pytest.raises((ValueError, SystemExit, KeyboardInterrupt, Ignore)):
                await _ask(ref, ValueError("crash"))
        elif phase == "terminate":
            await terminate_child(sup, "x")
        elif phase == "kill":
            kill(ref)
    await calm(system)
    if sup.is_alive():
        # It may have been worn out by retries, which is its right; if not, it answers.
        assert (await count_children(sup)).specs in (1, 2)
        assert neighbour.is_alive()
        if phase == "end":
            await sup.stop(block=False)
            assert not neighbour.is_alive()
    else:
        assert not neighbour.is_alive()


async def _outcome(future):
    """What a request came to, in whichever way; the point is that it came to something."""
    try:
        return await future
    except Exception as error:
        return error


async def _ask(ref, message):
    return await ref.ask(message, block=False)


@pytest.mark.requirement("actors:ordered-shutdown")
@pytest.mark.parametrize("hook", ["on_start", "on_receive", "on_stop", "on_failure"])
@pytest.mark.parametrize("way", ["terminate", "end", "kill", "cancel the system"])
async def test_a_hook_that_hangs_delays_an_end_until_its_deadline_and_no_longer(hook, way, clock):
    class Hangs(AsyncWorker):
        pass

    async def hang(self, *_args):
        if hook != "on_receive" or _args == ("hang",):
            await trio.sleep_forever()
        return await getattr(AsyncWorker, hook)(self, *_args)

    setattr(Hangs, hook, hang)
    system = ActorSystem("hangs", stop_timeout=100.0)
    with trio.CancelScope() as scope:
        async with running(system):
            sup = system.spawn(Supervisor)
            await start_child(sup, ChildSpec("n", InlineWorker))
            spec = ChildSpec("x", Hangs, shutdown=10.0, start_timeout=20.0, restart="temporary")
            start_child(sup, spec)
            await calm(system)
            ref = (await refs(sup))["x"] if hook != "on_start" else None
            if hook == "on_receive":
                ref.tell("hang")
            elif hook == "on_failure":
                ref.tell(ValueError())
            await calm(system)
            done = None
            if way == "terminate":
                done = terminate_child(sup, "x")
            elif way == "end":
                done = sup.stop(block=False)
            elif way == "kill":
                kill(sup)
            else:
                clock.autojump_threshold = 0  # from here on nobody can jump it by hand
                scope.cancel()
                await trio.lowlevel.checkpoint()
            for seconds in (21, 11):  # the start's time, then the end's
                await calm(system)
                clock.jump(seconds)
            if done is not None:
                await _outcome(done)
            await calm(system)
            if way == "kill":
                assert not sup.is_alive()
            elif way == "terminate":
                assert list(await refs(sup)) == ["n"]
        # Here also when everything was cancelled: the end was as orderly.
    assert not system.cells
    assert scope.cancelled_caught == (way == "cancel the system")


async def test_a_child_may_be_restarted_by_hand_after_any_failed_start(system, worker):
    sup = system.spawn(Supervisor, intensity=0)
    script = Script()
    await start_child(sup, ChildSpec("x", worker, ("x", script), restart="transient"))
    await terminate_child(sup, "x")
    for hook, fault in itertools.product(["constructor", "on_start"], FAULTS):
        script.faults = {hook: FAULTS[fault]()}
        if fault == "ignore":
            assert await restart_child(sup, "x") is None
        else:
            with pytest.raises(ActorStartError):
                await restart_child(sup, "x")
    script.faults = {}
    ref = await restart_child(sup, "x")
    assert await ref.ask("hi", block=False) == "hi"
    ref.tell(Normal())
    await calm(system)


def test_the_kinds_are_all_there():
    assert [kind._cell_class.kind for kind in KINDS] == ["inline", "async", "blocking"]
