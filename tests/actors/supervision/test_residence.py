"""The death of the loop itself, and the bounds of a stop."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pykka
import pytest
import trio

import brama.telemetry
from brama.actors import (
    Actor,
    ActorStartError,
    ActorSystem,
    Backoff,
    BlockingActor,
    ChildSpec,
    DynamicSupervisor,
    InlineActor,
    Supervisor,
    SystemStoppedError,
    kill,
    start_child,
)
from brama.actors.testing import running
from brama.telemetry import ConfigError

from .workers import AsyncWorker, InlineWorker, Script, calm, fate, refs, specs, until, up


class Sleeper(Actor):
    async def on_receive(self, message):
        await trio.sleep(1000)


def _bug():
    raise KeyError("a bug in a callback")


def dying_host(system, during=None):
    """Run a system on a loop of this thread, and let a bug kill that loop.

    trio cancels everything before it dies of this one. A sudden death is played in a process of
    its own: what the collector finds of such a loop would haunt the tests that come after.
    """

    async def main():
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            if during is not None:
                await during()
            trio.lowlevel.current_trio_token().run_sync_soon(_bug)
            await trio.sleep(1000)

    with pytest.raises(trio.TrioInternalError):
        trio.run(main)
    gc.collect()  # here and now, and not in the test that comes next


# What the collector finds of a loop that has died complains that the loop is not there.
dead_loops = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


SUDDEN = """
import gc, logging, sys, time
import trio
from brama.actors import Actor, ActorDeadError, ActorSystem, Backoff, ChildSpec, InlineActor

logging.basicConfig(level=logging.CRITICAL, format="%(levelname)s %(message)s")
sys.unraisablehook = lambda _: None  # trio's own coroutines, thrown away in the midst of things

class Clock(trio.abc.Clock):
    bad = False
    def start_clock(self): pass
    def current_time(self): return time.monotonic()
    def deadline_to_sleep_time(self, deadline):
        if self.bad:
            raise KeyError("a bug in the loop itself")
        return deadline - time.monotonic()

class Echo(InlineActor):
    def on_receive(self, message): return message

class Sleeper(Actor):
    async def on_receive(self, message): await trio.sleep(1000)

clock = Clock()
system = ActorSystem("guest", children=[ChildSpec("a", Echo, name="a")], backoff=Backoff(min=0.01))
found = []

async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        found.append(system.names.whereis("a"))
        found.append(system.spawn(Sleeper).ask("hang", block=False))
        await trio.sleep(0.01)
        clock.bad = True
        await trio.sleep(1000)

try:
    trio.run(main, clock=clock)
except trio.TrioInternalError as error:
    kept = error  # as a host would that logs it: its frames hold the tasks
ref, pending = found
assert not ref.is_alive()
try:
    pending.get(timeout=5)
except ActorDeadError:
    print("answered")
while not (system.running and system.names.whereis("a")):
    time.sleep(0.001)
print(system.names.via("a").ask("back", timeout=5))
del kept
gc.collect()
print(system.names.via("a").ask("still back", timeout=5), system.health().status)
print(system.stop(timeout=5).complete)
"""


def test_a_host_loop_that_dies_suddenly_is_replaced_too():
    done = subprocess.run(
        [sys.executable, "-c", SUDDEN], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout.splitlines() == ["answered", "back", "still back degraded", "True"], done
    assert "CRITICAL guest: the host's loop died beneath run()" in done.stderr


@dead_loops
def test_a_host_loop_that_dies_beneath_run_is_replaced_by_a_thread(caplog):
    script = Script()
    system = ActorSystem(
        "guest",
        children=specs(InlineWorker, script, "a", name="a"),
        backoff=Backoff(min=0.01),
        stop_timeout=0.3,
    )
    found = []

    async def during():
        found.append(system.names.whereis("a"))
        found.append(system.spawn(Sleeper).ask("hang", block=False))
        await trio.sleep(0.01)

    dying_host(system, during)
    ref, pending = found
    # Every ask ends, every actor of the dead loop is dead for all.
    with pytest.raises(pykka.ActorDeadError):
        pending.get(timeout=5)
    assert not ref.is_alive()
    until(lambda: script.log.count("+a") == 2)
    assert system.names.via("a").ask("back", timeout=5) == "back"
    health = system.health()
    assert health.status == "degraded"
    assert health.tree_restarts == 1
    assert "the host's loop died beneath run()" in health.reasons
    (line,) = [one for one in caplog.records if one.levelname == "CRITICAL"]
    assert "going on in" in line.message
    assert system.stop(timeout=5).complete
    assert script.log[-2:] == ["+a", "-a"]


@dead_loops
def test_a_host_thread_may_block_again_after_its_loop_has_died():
    system = ActorSystem("guest", backoff=Backoff(min=0.01))
    dying_host(system)
    # Were this thread still known as one that runs actors, this would be a WouldBlockError.
    until(lambda: system.running)
    assert system.spawn(InlineWorker).ask("hi", timeout=5) == "hi"
    system.stop()


@dead_loops
def test_a_stop_while_the_replacement_of_a_dead_host_loop_waits_ends_the_wait():
    system = ActorSystem("guest", backoff=Backoff(min=30.0))
    dying_host(system)
    began = time.monotonic()
    assert system.stop(timeout=10).complete
    assert time.monotonic() - began < 4  # half of the time is for a start that is under way
    assert not system.running
    with pytest.raises(SystemStoppedError):
        system.spawn(InlineWorker)


@dead_loops
def test_a_stop_was_wanted_when_the_host_loop_died_so_nothing_comes_back():
    system = ActorSystem("guest", backoff=Backoff(min=0.001))

    async def during():
        system._engine.user_stop.set()

    dying_host(system, during)
    time.sleep(0.05)
    assert not system.running
    assert system.health().status == "stopped"
    assert not [one for one in threading.enumerate() if one.name == "guest-loop"]


def test_a_cancelled_run_is_no_death_of_the_loop(caplog):
    system = ActorSystem("guest", backoff=Backoff(min=0.001))

    async def main():
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:  # and again on the same loop
            await nursery.start(system.run)
            nursery.cancel_scope.cancel()
        raise ValueError("the host's own affair")

    with pytest.raises(ValueError, match="the host's own affair"):
        trio.run(main)
    time.sleep(0.02)
    assert not system.running
    assert "died" not in caplog.text


def test_an_ordered_end_of_run_leaves_no_trace_in_the_hosts_loop():
    system = ActorSystem("guest")

    async def main():
        for _ in range(3):
            async with running(system):
                pass
            await trio.sleep(0)

    trio.run(main)
    assert not system.running


@pytest.mark.requirement("actors:telemetry")
async def test_the_loss_of_a_tree_is_announced(system):
    heard = []
    brama.telemetry.attach(
        "test",
        "brama.supervisor.tree_lost",
        lambda event, numbers, metadata, config: heard.append((metadata["system"], numbers)),
    )
    try:
        kill(system.root)
        await trio.testing.wait_all_tasks_blocked()
    finally:
        brama.telemetry.detach("test")
    assert [(name, numbers["count"]) for name, numbers in heard] == [("test", 1)]


# -- async with ---------------------------------------------------------------------------------


@pytest.mark.requirement("actors:systems")
def test_async_with_runs_on_the_loop_of_a_trio_program_and_ends_in_order():
    script = Script()

    async def main():
        async with ActorSystem("s", children=specs(AsyncWorker, script)) as system:
            assert system.on_loop_thread()
            assert await system.spawn(InlineWorker).ask("hi", block=False) == "hi"
        assert not system.running
        assert script.log == ["+a", "+b", "+c", "-c", "-b", "-a"]
        with pytest.raises(ValueError, match="as it is, in no group"):
            async with system:
                raise ValueError("as it is, in no group")
        with trio.move_on_after(0.01) as scope:
            async with system:
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert not system.cells
        with pytest.raises(ActorStartError):
            async with ActorSystem("s", children=[ChildSpec("b", InlineWorker, (1, 2, 3))]):
                pytest.fail("it has not started")

    trio.run(main)
    assert script.log[-3:] == ["-c", "-b", "-a"]


@pytest.mark.requirement("actors:systems")
def test_async_with_in_an_asyncio_program_has_a_thread_of_its_own_and_blocks_nobody():
    script = Script()

    async def main():
        async with ActorSystem("s", children=specs(AsyncWorker, script)) as system:
            assert not system.on_loop_thread()
            assert await system.spawn(InlineWorker).ask("hi", block=False) == "hi"
        assert not system.running

    asyncio.run(main())
    assert script.log == ["+a", "+b", "+c", "-c", "-b", "-a"]


# -- the bounds of a stop -------------------------------------------------------------------------


class Stubborn(BlockingActor):
    def __init__(self, release):
        super().__init__()
        self.release = release

    def on_receive(self, message):
        self.release.wait(20)


@pytest.mark.requirement("actors:ordered-shutdown")
@pytest.mark.parametrize("timeout", [0.3, timedelta(seconds=0.5)], ids=str)
def test_a_stop_keeps_to_its_time_with_a_complete_report(timeout):
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    release = threading.Event()
    children = [
        ChildSpec("thread", Stubborn, (release,), name="thread"),
        ChildSpec("slow", SlowToEnd, shutdown="infinity"),
    ]
    system = ActorSystem("s", children=children).start()
    system.names.via("thread").tell("block")
    until(lambda: any(cell.busy_thread for cell in system.cells))
    began = time.monotonic()
    report = system.stop(timeout)
    assert time.monotonic() - began < seconds + 0.1
    assert not report.complete
    assert [who for who in report.unstoppable if who.startswith("Stubborn-")]
    assert [who for who in report.killed if "SlowToEnd" in who]
    release.set()


class SlowToEnd(Actor):
    async def on_stop(self):
        await trio.sleep(1000)


@pytest.mark.requirement("actors:ordered-shutdown")
def test_a_stop_keeps_to_its_time_when_the_loop_does_not_answer():
    release = threading.Event()

    class Rude(InlineActor):
        def on_receive(self, message):
            release.wait(20)

    system = ActorSystem("s").start()
    system.spawn(Rude).tell("block")
    began = time.monotonic()
    assert system.stop(timeout=0.2).unstoppable == ("the loop of s",)
    assert time.monotonic() - began < 0.3
    release.set()
    until(lambda: not system.running)


def test_a_wrong_time_for_a_stop_is_refused():
    system = ActorSystem("s")
    for wrong in (-1, "soon", True):
        with pytest.raises(ConfigError, match="timeout must be a number of seconds"):
            system.stop(wrong)


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_stop_during_the_start_takes_down_what_stands(clock):
    script = Script()
    children = [*specs(InlineWorker, script, "ab"), ChildSpec("slow", SlowToStart)]
    system = ActorSystem("s", children=children)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(system.run)
        await trio.testing.wait_all_tasks_blocked()
        assert script.log == ["+a", "+b"]
        system.request_stop(timeout=50)
        await trio.testing.wait_all_tasks_blocked()
        clock.jump(51)
    assert not system.cells
    assert not system.running


class SlowToStart(Actor):
    async def on_start(self):
        await trio.sleep(40)


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_stop_while_a_restart_waits_ends_the_wait(clock):
    script = Script()
    system = ActorSystem("s")
    async with running(system):
        sup = await up(system, specs(InlineWorker, script), backoff=Backoff(min=1000.0, max=1000.0))
        (await refs(sup))["b"].tell(ValueError())
        await calm(system)
    assert script.log[4:] == ["-c", "-a"]
    assert not system.cells


@pytest.mark.requirement("actors:ordered-shutdown")
def test_stops_from_many_threads_at_once_stop_once():
    script = Script()
    system = ActorSystem("s", children=specs(AsyncWorker, script)).start()
    reports = []
    threads = [
        threading.Thread(target=lambda: reports.append(system.stop(timeout=5))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.complete for report in reports] == [True] * 8
    assert script.log == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_a_thread_that_cannot_be_stopped_is_reported_counted_and_forgotten_when_it_ends(
    system, clock
):
    release = threading.Event()
    pool = system.spawn(DynamicSupervisor)
    ref = await start_child(pool, ChildSpec("x", Stubborn, (release,), shutdown="brutal_kill"))
    ref.tell("block")
    while not any(cell.busy_thread for cell in system.cells):
        await trio.sleep(0.001)
    reasons = fate(ref)
    await pool.stop(block=False)
    assert len(reasons) == 1
    health = system.health()
    assert (health.status, health.unstoppable) == ("degraded", 1)
    assert "cannot be stopped: Stubborn-" in health.reasons[0]
    release.set()
    while system.health().status != "ok":
        await trio.sleep(0.001)
    assert system.health().unstoppable == 1


# -- several systems, and pykka's registry --------------------------------------------------------


@pytest.mark.requirement("actors:systems")
def test_no_system_actor_is_ever_in_pykkas_registry_and_stop_all_upsets_no_tree():
    script = Script()
    before = set(pykka.ActorRegistry.get_all())
    children = [
        *specs(InlineWorker, script, "a"),
        ChildSpec("inner", Supervisor, (specs(AsyncWorker, script, "b"),)),
        ChildSpec("pool", DynamicSupervisor, name="pool"),
    ]
    with ActorSystem("one", children=children) as one, ActorSystem("two", children=[]) as two:
        start_child(one.names.via("pool"), specs(InlineWorker, script, "c")[0]).get(timeout=5)
        two.spawn(InlineWorker)
        assert set(pykka.ActorRegistry.get_all()) == before
        pykka.ActorRegistry.stop_all()
        assert script.log == ["+a", "+b", "+c"]
        assert one.health().status == two.health().status == "ok"


@pytest.mark.requirement("actors:systems")
def test_names_trees_and_deaths_of_one_system_are_nothing_to_another():
    scripts = Script(), Script()
    systems = [
        ActorSystem("same name", children=specs(InlineWorker, script, "a", name="a"))
        for script in scripts
    ]
    one, two = systems
    with one, two:
        assert one.names.whereis("a") is not two.names.whereis("a")
        kill(one.root)
        until(lambda: scripts[0].log == ["+a", "+a"])
        assert scripts[1].log == ["+a"]
        assert two.health().status == "ok"
        one.stop()
        assert two.names.via("a").ask("still here", timeout=5) == "still here"
