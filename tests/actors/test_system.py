"""Actor systems: start, stop, restart of the tree, introspection."""

from __future__ import annotations

import contextvars
import gc
import threading
import time

import pykka
import pytest
import trio

from brama.actors import (
    Actor,
    ActorStartError,
    ActorSystem,
    Backoff,
    BlockingActor,
    ChildSpec,
    DynamicSupervisor,
    InlineActor,
    Killed,
    Supervisor,
    SystemStoppedError,
    default_actor_system,
    kill,
    start_child,
    watch,
)
from brama.actors.testing import running, settle, settle_blocking
from brama.telemetry import ConfigError


class Worker(InlineActor):
    def __init__(self, name="w", log=None):
        super().__init__()
        self.name = name
        self.log = [] if log is None else log

    def on_start(self):
        self.log.append(f"+{self.name}")

    def on_stop(self):
        self.log.append(f"-{self.name}")

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        return message


class SlowToEnd(Actor):
    async def on_stop(self):
        await trio.sleep(1000)


def specs(log, names="abc"):
    return [ChildSpec(name, Worker, (name, log)) for name in names]


# -- on a thread of its own -----------------------------------------------------------------------


def test_what_is_called_at_the_exit_can_be_called():
    with pytest.raises(ConfigError, match="at_exit must be a function"):
        ActorSystem("x", at_exit=5)


def test_a_system_that_is_made_starts_nothing():
    before = threading.active_count()
    system = ActorSystem("idle", children=specs([]))
    assert threading.active_count() == before
    assert not system.running
    assert (system.health().status, system.tree().status) == ("idle", "idle")
    assert system.stop().complete
    assert (system.health().status, system.tree().status) == ("stopped", "stopped")


def test_start_returns_once_the_tree_is_up_and_stop_ends_it_in_reverse():
    log = []
    system = ActorSystem("s", children=specs(log)).start()
    assert log == ["+a", "+b", "+c"]
    assert system.running
    assert system.names.whereis("s") is system.root
    report = system.stop()
    assert log[3:] == ["-c", "-b", "-a"]
    assert report.complete
    assert not system.running
    assert "s-loop" not in {thread.name for thread in threading.enumerate()}


def test_start_and_stop_are_idempotent_and_safe_from_many_threads():
    log = []
    system = ActorSystem("s", children=specs(log))
    threads = [threading.Thread(target=system.start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log == ["+a", "+b", "+c"]
    threads = [threading.Thread(target=system.stop) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log) == 6
    assert system.stop().complete


def test_a_stopped_system_starts_again_only_when_told():
    system = ActorSystem("s").start()
    system.stop()
    with pytest.raises(SystemStoppedError, match="was stopped: call start"):
        system.spawn(Worker)
    assert system.start().spawn(Worker).ask("hi", timeout=5) == "hi"
    system.stop()


def test_a_child_that_does_not_start_is_the_error_of_start():
    class Broken(InlineActor):
        def on_start(self):
            raise ValueError("no")

    log = []
    system = ActorSystem("s", children=[*specs(log, "a"), ChildSpec("broken", Broken)])
    for _ in range(2):
        with pytest.raises(ActorStartError, match="child 'broken' did not start"):
            system.start()
        assert not system.running
    assert log == ["+a", "-a"] * 2


def test_the_first_spawn_starts_the_system():
    system = ActorSystem("lazy")
    assert system.spawn(Worker).ask("hi", timeout=5) == "hi"
    assert system.running
    system.stop()


def test_actors_of_a_starting_tree_may_start_others():
    started = []

    class Parent(BlockingActor):
        def on_start(self):
            started.append(self.actor_system.spawn(Worker))

    class InlineParent(InlineActor):
        def on_start(self):
            started.append(self.actor_system.spawn(Worker))

    children = [ChildSpec("p", Parent), ChildSpec("i", InlineParent)]
    with ActorSystem("s", children=children):
        assert [ref.ask("hi", timeout=5) for ref in started] == ["hi", "hi"]


def test_actors_see_nothing_of_the_starters_context():
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("mine")

    class Curious(InlineActor):
        def on_receive(self, message):
            return variable.get()

    class CuriousAsync(Actor):
        async def on_receive(self, message):
            return variable.get()

    with ActorSystem("s") as system:
        assert system.spawn(Curious).ask(1, timeout=5) == "none"
        assert system.spawn(CuriousAsync).ask(1, timeout=5) == "none"


@pytest.mark.requirement("actors:ordered-shutdown")
def test_stop_is_bounded_and_names_what_it_could_not_stop():
    release = threading.Event()

    class Stuck(BlockingActor):
        def on_receive(self, message):
            release.wait(20)

    system = ActorSystem("s", children=[ChildSpec("stuck", Stuck, name="stuck")]).start()
    system.spawn(SlowToEnd)
    system.names.via("stuck").tell("now")
    time.sleep(0.05)
    began = time.monotonic()
    report = system.stop(timeout=0.3)
    assert time.monotonic() - began < 2
    assert not report.complete
    assert any(who.startswith("Stuck-") for who in report.unstoppable)
    assert any("SlowToEnd" in who for who in report.killed)
    release.set()


@pytest.mark.parametrize("shutdown", [0.05, "brutal_kill"])
def test_stop_names_the_thread_of_a_child_that_ran_out_of_its_own_time(shutdown):
    begun, release = threading.Event(), threading.Event()

    class Stuck(BlockingActor):
        def on_receive(self, message):
            begun.set()
            release.wait(20)

    child = ChildSpec("stuck", Stuck, name="stuck", shutdown=shutdown)
    system = ActorSystem("s", children=[child]).start()
    system.names.via("stuck").tell("now")
    assert begun.wait(10)
    report = system.stop()
    release.set()
    assert not report.complete
    assert [who.partition("-")[0] for who in report.unstoppable] == ["Stuck"]


def test_a_child_cannot_start_in_no_time():
    with pytest.raises(ConfigError, match="start_timeout must be a positive number of seconds"):
        ChildSpec("child", Actor, start_timeout=0)


def test_stop_names_a_loop_that_is_blocked():
    release = threading.Event()

    class Rude(InlineActor):
        def on_receive(self, message):
            release.wait(20)

    system = ActorSystem("s").start()
    system.spawn(Rude).tell("now")
    report = system.stop(timeout=0.1)
    assert report.unstoppable == ("the loop of s",)
    release.set()


def test_stop_on_the_loop_thread_returns_at_once():
    class Stopper(InlineActor):
        def on_receive(self, message):
            return self.actor_system.stop()

    system = ActorSystem("s").start()
    assert system.spawn(Stopper).ask(1, timeout=5).complete is False
    assert system.stop().complete


def test_call_soon_runs_on_the_loop_and_survives_what_is_raised(caplog):
    system, seen = ActorSystem("s"), []
    assert system.call_soon(seen.append, "never") is False
    with system:
        done = threading.Event()

        def fail():
            raise ValueError("mine")

        assert system.call_soon(fail)
        assert system.call_soon(lambda: seen.append(system.on_loop_thread()))
        assert system.call_soon(done.set)
        assert done.wait(5)
        assert not system.on_loop_thread()
    assert seen == [True]
    assert "a call on the loop of the actors failed" in caplog.text


def test_whatever_call_soon_has_accepted_is_called_although_the_system_stops():
    system, called, accepted = ActorSystem("s").start(), [], 0
    stopper = threading.Thread(target=system.stop)
    for number in range(100_000):
        if number == 100:
            stopper.start()
        if not system.call_soon(called.append, number):
            break
        accepted += 1
    stopper.join()
    assert len(called) == accepted


def test_ready_callbacks_run_on_the_loop_after_each_start_of_the_tree(caplog):
    system, seen = ActorSystem("s", backoff=Backoff(min=0.01)), []

    def broken():
        raise ValueError("not my day")

    system.on_ready += [broken, lambda: seen.append(system.on_loop_thread())]
    with system:
        assert seen == [True]
        _lose_tree(system)
        _until(lambda: seen == [True, True])


def _lose_tree(system):
    """Kill the root and wait for the next one."""
    old = system.root
    kill(old)
    _until(lambda: _root(system) not in (None, old))
    settle_blocking(system)


def _root(system):
    try:
        return system.root
    except SystemStoppedError:
        return None


def _until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_a_lost_tree_is_a_critical_line_degraded_health_and_a_new_tree(caplog):
    log = []
    system = ActorSystem("s", children=specs(log, "a"), backoff=Backoff(min=0.01))
    with system:
        assert system.health().status == "ok"
        _lose_tree(system)
        health = system.health()
        assert health.status == "degraded"
        assert health.tree_restarts == 1
        assert "the tree has ended" in health.reasons[0]
        assert log == ["+a", "+a"]
    assert [r.levelname for r in caplog.records if "starting it again" in r.message] == ["CRITICAL"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_dies_is_replaced_and_its_actors_are_dead_for_all(caplog):
    log, reasons = [], []
    system = ActorSystem("s", children=specs(log, "a"), backoff=Backoff(min=0.01))
    with system:
        orphan = system.spawn(Worker)
        watch(orphan, reasons.append)
        pending = system.spawn(SlowToAnswer).ask(1, block=False)
        time.sleep(0.05)

        async def die():
            raise ValueError("a bug")

        system.call_soon(lambda: trio.lowlevel.spawn_system_task(die))
        with pytest.raises(pykka.ActorDeadError):
            pending.get(timeout=5)
        _until(lambda: log.count("+a") == 2)
        assert system.spawn(Worker).ask("alive", timeout=5) == "alive"
        health = system.health()
        assert health.status == "degraded"
        assert "the loop died" in " ".join(health.reasons)
    assert not orphan.is_alive()
    assert len(reasons) == 1
    assert "the loop died" in caplog.text
    # The dead loop is collected here, complaining, and not in the test that comes next.
    caplog.clear()
    gc.collect()


class SlowToAnswer(Actor):
    async def on_receive(self, message):
        await trio.sleep(1000)


def test_the_default_system_hosts_what_is_started_by_class_and_is_renewed_after_a_stop():
    first = default_actor_system()
    ref = Worker.start()
    assert ref.ask("hi", timeout=5) == "hi"
    assert default_actor_system() is first
    first.stop()
    assert not ref.is_alive()
    assert ref not in pykka.ActorRegistry.get_all()
    again = Worker.start()
    assert default_actor_system() is not first
    assert again.ask("hi", timeout=5) == "hi"
    default_actor_system().stop()


@pytest.mark.requirement("actors:systems")
def test_systems_are_isolated():
    log = []
    with ActorSystem("one") as one, ActorSystem("two", children=specs(log, "a")) as two:
        ref = two.spawn(Worker)
        one.stop()
        assert ref.ask("hi", timeout=5) == "hi"


@pytest.mark.requirement("actors:systems")
def test_stop_all_of_pykka_does_not_touch_a_tree():
    log = []
    with ActorSystem("s", children=specs(log)) as system:
        started = Worker.start()
        pykka.ActorRegistry.stop_all()
        assert not started.is_alive()
        assert system.root.is_alive()
        assert log == ["+a", "+b", "+c"]


# -- on a loop that is there already --------------------------------------------------------------


async def test_run_serves_on_the_calling_loop_until_stop(autojump_clock):
    log = []
    system = ActorSystem("s", children=specs(log))
    async with trio.open_nursery() as nursery:
        assert await nursery.start(system.run) is system
        assert log == ["+a", "+b", "+c"]
        assert await system.spawn(Worker).ask("hi", block=False) == "hi"
        system.stop()
    assert log[3:] == ["-c", "-b", "-a"]


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_cancelled_run_still_ends_its_tree_in_order(autojump_clock):
    log = []

    class Slow(Actor):
        async def on_stop(self):
            await trio.sleep(2)
            log.append("-slow")

    system = ActorSystem("s", children=[*specs(log, "ab"), ChildSpec("slow", Slow)])
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        nursery.cancel_scope.cancel()
    assert log == ["+a", "+b", "-slow", "-b", "-a"]


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_the_system_has_a_deadline_above_all_others(autojump_clock):
    children = [ChildSpec(n, SlowToEnd, shutdown=100.0) for n in range(5)]
    system = ActorSystem("s", children=children, stop_timeout=7.0)
    began = trio.current_time()
    async with running(system):
        pass
    assert trio.current_time() - began == pytest.approx(7.0, abs=2.0)


async def test_a_failed_boot_is_the_error_of_run(autojump_clock):
    class Broken(InlineActor):
        def on_start(self):
            raise ValueError("no")

    with pytest.raises(ActorStartError, match="child 'broken'"):
        await ActorSystem("s", children=[ChildSpec("broken", Broken)]).run()


async def test_a_running_system_does_not_run_twice(system):
    with pytest.raises(SystemStoppedError, match="is running already"):
        await system.run()


async def test_a_run_cancelled_while_it_boots_leaves_nothing(autojump_clock):
    class SlowToStart(Actor):
        async def on_start(self):
            await trio.sleep(5)

    log = []
    children = [*specs(log, "a"), ChildSpec("slow", SlowToStart)]
    system = ActorSystem("s", children=children)
    with trio.move_on_after(1):
        await system.run()
    assert not system.cells
    assert not system.running


@pytest.mark.requirement("actors:restart-intensity")
async def test_a_tree_lost_by_exhaustion_comes_back_after_a_back_off(autojump_clock, caplog):
    log = []
    backoff = Backoff(min=2.0, max=30.0, jitter=0.0)
    system = ActorSystem("s", children=specs(log, "a"), intensity=0, backoff=backoff)
    async with running(system):
        (child,) = system.tree().children
        began = trio.current_time()
        _ref(system, child.id).tell(ValueError())
        await settle(system)
        assert "the tree is down and waits for its restart" in system.health().reasons
        assert system.tree().status == "restarting"
        while log != ["+a", "+a"]:
            await trio.sleep(0.1)
        assert trio.current_time() - began == pytest.approx(2.0, abs=0.3)


def _ref(system, child):
    return system.root._actor_weakref()._children[child].cell.ref


async def test_a_supplier_of_children_is_asked_at_each_start_of_the_tree(autojump_clock):
    asked, log = [], []

    def children():
        asked.append(None)
        return specs(log, "ab"[: len(asked)])

    system = ActorSystem("s", children=children, backoff=Backoff(min=1.0))
    async with running(system):
        kill(system.root)
        await trio.sleep(2)
        assert [node.id for node in system.tree().children] == ["a", "b"]


# -- introspection --------------------------------------------------------------------------------


@pytest.mark.requirement("actors:introspection")
async def test_the_tree_shows_every_actor_with_its_kind_state_restarts_and_mail(
    system, autojump_clock
):
    pool = system.spawn(DynamicSupervisor)
    await start_child(pool, ChildSpec("w", Worker))
    crasher = (await start_child(pool, ChildSpec("c", Worker))).tell
    crasher(ValueError("once"))
    busy = system.spawn(SlowToAnswer)
    for _ in range(3):
        busy.tell(1)
    await settle_but(busy)
    spawned = system.tree().find("(spawned)")
    nodes = {node.actor_class: node for node in spawned.children}
    assert nodes["SlowToAnswer"].kind == "async"
    assert nodes["SlowToAnswer"].mailbox == 2
    children = {node.id: node for node in nodes["DynamicSupervisor"].children}
    assert children["w"].kind == "inline"
    assert children["c"].restarts == 1
    assert children["c"].last_exit == "Crash(ValueError('once'))"
    text = str(system.tree())
    assert text.splitlines()[0] == "test  (Supervisor, async, running)"
    assert "└── " in text
    kill(busy)


async def settle_but(_busy):
    await trio.testing.wait_all_tasks_blocked()


@pytest.mark.requirement("actors:introspection")
def test_the_tree_is_read_from_any_thread_while_it_changes():
    with ActorSystem("s", children=[ChildSpec("pool", DynamicSupervisor, name="pool")]) as system:
        pool = system.names.via("pool")
        futures = [
            start_child(pool, ChildSpec(number, Worker, restart="temporary"))
            for number in range(2000)
        ]
        sizes = [len(list(system.tree().walk())) for _ in range(20)]
        for future in futures:
            kill(future.get(timeout=5))
        assert sizes == sorted(sizes)
        settle_blocking(system)
        assert len(list(system.tree().walk())) == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": ""}, "name must be a non-empty text, got: ''"),
        ({"stop_timeout": 0}, "stop_timeout must be a positive number of seconds, got: 0"),
        ({"intensity": -1}, "intensity must be a number of restarts, 0 or more, got: -1"),
        ({"children": ["x"]}, "children must be a sequence of ChildSpec, got: 'x'"),
    ],
)
def test_a_wrong_option_is_refused(options, text):
    with pytest.raises(ConfigError) as caught:
        ActorSystem(**options)
    assert str(caught.value) == text


# -- the scheduler --------------------------------------------------------------------------------


def test_no_wake_up_is_lost_between_threads_and_a_parking_loop(threaded):
    class Echo(InlineActor):
        def on_receive(self, message):
            return message

    refs = [threaded.spawn(Echo) for _ in range(4)]

    def talk(ref):
        for number in range(2000):
            assert ref.ask(number, timeout=10) == number

    threads = [threading.Thread(target=talk, args=(ref,)) for ref in refs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_signal_handler_may_tell_while_the_loop_sleeps_on_the_main_thread():
    import signal

    got = []

    class Sink(InlineActor):
        def on_receive(self, message):
            got.append(message)
            self.actor_system.stop()

    async def main():
        system = ActorSystem("s")
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            ref = system.spawn(Sink)
            signal.signal(signal.SIGALRM, lambda *_: ref.tell("from the handler"))
            signal.setitimer(signal.ITIMER_REAL, 0.05)

    old = signal.getsignal(signal.SIGALRM)
    try:
        trio.run(main)
    finally:
        signal.signal(signal.SIGALRM, old)
    assert got == ["from the handler"]


async def test_a_busy_actor_leaves_room_for_other_tasks(system):
    class Spinner(InlineActor):
        def on_receive(self, message):
            if not stop:
                self.actor_ref.tell(message)

    stop = []
    system.spawn(Spinner).tell(1)
    for _ in range(20):
        await trio.sleep(0.001)
    stop.append(1)
    await settle(system)


async def test_the_killed_see_killed(system):
    ref, reasons = system.spawn(SlowToAnswer), []
    watch(ref, reasons.append)
    ref.tell(1)
    await trio.testing.wait_all_tasks_blocked()
    kill(ref, Killed("test"))
    await settle(system)
    assert reasons == [Killed("test")]


async def test_supervisor_is_a_kind_of_actor_that_may_be_spawned(system):
    ref = system.spawn(Supervisor, [ChildSpec("a", Worker)])
    await settle(system)
    assert ref.is_alive()
