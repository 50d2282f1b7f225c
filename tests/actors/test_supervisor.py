"""The static supervisor, by the rules of OTP; time is virtual."""

from __future__ import annotations

import logging

import pytest
import trio

from brama.actors import (
    Actor,
    ActorDeadError,
    ActorStartError,
    Backoff,
    ChildExistsError,
    ChildNotFoundError,
    ChildRestartingError,
    ChildRunningError,
    ChildSpec,
    Crash,
    InlineActor,
    Killed,
    Normal,
    Shutdown,
    Supervisor,
    count_children,
    delete_child,
    get_childspec,
    kill,
    restart_child,
    start_child,
    terminate_child,
    watch,
    which_children,
)
from brama.actors.testing import settle
from brama.telemetry import ConfigError

pytestmark = pytest.mark.usefixtures("autojump_clock")


class Worker(InlineActor):
    """Writes down its life, and ends on request."""

    def __init__(self, name, log, fails=None):
        super().__init__()
        self.name = name
        self.log = log
        self.fails = fails if fails is not None else []

    def on_start(self):
        if self.fails and self.fails.pop(0):
            raise ValueError(f"{self.name} does not start")
        self.log.append(f"+{self.name}")

    def on_stop(self):
        self.log.append(f"-{self.name}")

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        self.exit(message)


class AsyncWorker(Actor):
    def __init__(self, name, log, fails=None):
        super().__init__()
        self.name = name
        self.log = log
        self.fails = fails if fails is not None else []

    async def on_start(self):
        await trio.sleep(0.01)
        if self.fails and self.fails.pop(0):
            raise ValueError(f"{self.name} does not start")
        self.log.append(f"+{self.name}")

    async def on_stop(self):
        await trio.sleep(0.01)
        self.log.append(f"-{self.name}")

    async def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, int):
            await trio.sleep(message)
        else:
            self.exit(message)


@pytest.fixture(params=[Worker, AsyncWorker], ids=["inline", "async"])
def worker(request):
    return request.param


def specs(worker, log, names="abc", **options):
    return [ChildSpec(name, worker, (name, log), **options) for name in names]


async def up(system, children=(), **options):
    sup = system.spawn(Supervisor, children, **options)
    await count_children(sup)  # answered once it has started
    return sup


async def refs(sup):
    return {info.id: info.ref for info in await which_children(sup)}


def fate(ref):
    reasons = []
    watch(ref, reasons.append)
    return reasons


# -- start and end --------------------------------------------------------------------------------


@pytest.mark.requirement("actors:start-acknowledgement")
async def test_children_start_in_order_and_end_in_reverse(system, autojump_clock, worker):
    log = []
    sup = await up(system, specs(worker, log))
    assert log == ["+a", "+b", "+c"]
    await sup.stop(block=False)
    assert log[3:] == ["-c", "-b", "-a"]


@pytest.mark.requirement("actors:start-acknowledgement")
async def test_a_child_that_does_not_start_takes_those_before_it_down_in_reverse(
    system, autojump_clock, worker
):
    log = []
    children = [*specs(worker, log, "ab"), ChildSpec("c", worker, ("c", log, [True]))]
    parent = await up(system)
    with pytest.raises(ActorStartError, match="on_start failed") as caught:
        await start_child(parent, ChildSpec("sup", Supervisor, (children,)))
    assert isinstance(caught.value.__cause__, ActorStartError)
    assert isinstance(caught.value.__cause__.__cause__, ValueError)
    assert log == ["+a", "+b", "-b", "-a"]
    assert (await count_children(parent)).specs == 0


async def test_a_failing_constructor_is_a_failed_start(system, autojump_clock):
    sup = await up(system)
    with pytest.raises(ActorStartError, match="constructor failed"):
        await start_child(sup, ChildSpec("x", Worker))


@pytest.mark.requirement("actors:start-acknowledgement")
async def test_a_start_that_takes_too_long_is_killed_and_named(system, autojump_clock):
    class Stuck(Actor):
        async def on_start(self):
            await trio.sleep_forever()

    sup = await up(system)
    began = trio.current_time()
    with pytest.raises(ActorStartError, match=r"on_start took more than 3\.0 s"):
        await start_child(sup, ChildSpec("stuck", Stuck, start_timeout=3.0))
    assert trio.current_time() - began == pytest.approx(3.0)


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_child_that_does_not_end_in_time_is_killed(system, autojump_clock, caplog):
    log = []
    sup = await up(system, specs(AsyncWorker, log, "ab", shutdown=2.0))
    stuck = (await refs(sup))["b"]
    reasons = fate(stuck)
    stuck.tell(1000)
    await trio.sleep(1)
    began = trio.current_time()
    await sup.stop(block=False)
    assert trio.current_time() - began == pytest.approx(2.0, abs=0.1)
    assert isinstance(reasons[0], Killed)
    assert log == ["+a", "+b", "-a"]
    assert "did not end within 2 s" in caplog.text


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_child_with_shutdown_zero_is_killed_at_once(system, autojump_clock, worker):
    log = []
    sup = await up(system, specs(worker, log, "a", shutdown=0))
    await terminate_child(sup, "a")
    assert log == ["+a"]


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_task_that_swallows_its_cancellation_is_reported_and_left_behind(
    system, autojump_clock, caplog
):
    release = trio.Event()

    class Immortal(Actor):
        async def on_receive(self, message):
            with trio.CancelScope(shield=True):
                await release.wait()

    sup = await up(system, [ChildSpec("immortal", Immortal, shutdown=1.0)])
    (await refs(sup))["immortal"].tell("now")
    await trio.sleep(0.1)
    await terminate_child(sup, "immortal")
    assert "child 'immortal' cannot be stopped" in caplog.text
    assert any("Immortal" in reason for reason in system.health().reasons)
    release.set()


async def test_a_supervisor_told_to_end_does_so_before_its_other_mail(system, autojump_clock):
    log = []
    parent = await up(system, [ChildSpec("sup", Supervisor)])
    sup = (await refs(parent))["sup"]
    sup._actor_weakref()._cell.request_exit(Shutdown())
    late = start_child(sup, specs(Worker, log, "x")[0])
    with pytest.raises(ActorDeadError):
        await late
    assert log == []


async def test_no_child_outlives_a_supervisor_that_is_killed(system, autojump_clock):
    log = []
    inner = ChildSpec("inner", Supervisor, (specs(Worker, log),))
    sup = await up(system, [inner])
    inner_ref = (await refs(sup))["inner"]
    children = await refs(inner_ref)
    reasons = [fate(ref) for ref in children.values()]
    kill(sup)
    await settle(system)
    assert all(isinstance(one[0], Killed) for one in reasons)
    assert log == ["+a", "+b", "+c"]
    assert not inner_ref.is_alive()


async def test_a_supervisor_killed_while_a_child_starts_leaves_nothing_behind(
    system, autojump_clock
):
    class Slow(Actor):
        async def on_start(self):
            await trio.sleep(5)

    before = len(system.cells)
    sup = await up(system)
    start = start_child(sup, ChildSpec("slow", Slow))
    await trio.sleep(1)
    kill(sup)
    with pytest.raises(ActorDeadError):
        await start
    await settle(system)
    assert len(system.cells) == before


# -- restart types --------------------------------------------------------------------------------


@pytest.mark.requirement("actors:restart-types")
@pytest.mark.parametrize(
    ("restart", "ending", "restarted"),
    [
        ("permanent", ValueError(), True),
        ("permanent", Normal(), True),
        ("permanent", Shutdown("x"), True),
        ("transient", ValueError(), True),
        ("transient", Crash(ValueError()), True),
        ("transient", Normal(), False),
        ("transient", Shutdown("x"), False),
        ("temporary", ValueError(), False),
        ("temporary", Normal(), False),
    ],
    ids=repr,
)
async def test_a_child_is_restarted_as_its_type_says(
    system, autojump_clock, worker, restart, ending, restarted
):
    log = []
    sup = await up(system, specs(worker, log, "a", restart=restart))
    first = (await refs(sup))["a"]
    first.tell(ending)
    await settle(system)
    after = await refs(sup)
    if restarted:
        assert after["a"] is not first
        assert after["a"].is_alive()
    elif restart == "temporary":
        assert after == {}
    else:
        assert after == {"a": None}


async def test_a_killed_child_is_restarted(system, autojump_clock, worker):
    sup = await up(system, specs(worker, [], "a"))
    first = (await refs(sup))["a"]
    kill(first)
    await settle(system)
    assert (await refs(sup))["a"].is_alive()


async def test_pykkas_stop_on_a_child_is_terminate_child(system, autojump_clock, worker):
    log = []
    sup = await up(system, specs(worker, log, "a"))
    await (await refs(sup))["a"].stop(block=False)
    await settle(system)
    assert await refs(sup) == {"a": None}
    assert (await restart_child(sup, "a")).is_alive()


# -- strategies -----------------------------------------------------------------------------------


@pytest.mark.requirement("actors:strategies")
@pytest.mark.parametrize(
    ("strategy", "events"),
    [
        ("one_for_one", ["+b"]),
        ("one_for_all", ["-c", "-a", "+a", "+b", "+c"]),
        ("rest_for_one", ["-c", "+b", "+c"]),
    ],
)
async def test_a_crash_restarts_whom_the_strategy_says_in_order(
    system, autojump_clock, worker, strategy, events
):
    log = []
    sup = await up(system, specs(worker, log), strategy=strategy)
    (await refs(sup))["b"].tell(ValueError())
    await settle(system)
    assert log[3:] == events


@pytest.mark.requirement("actors:strategies")
async def test_one_for_all_counts_one_restart_for_all_its_children(system, autojump_clock):
    sup = await up(system, specs(Worker, []), strategy="one_for_all", intensity=2)
    for _ in range(2):
        (await refs(sup))["a"].tell(ValueError())
        await settle(system)
    assert sup.is_alive()


@pytest.mark.requirement("actors:strategies")
async def test_one_for_all_drops_temporary_siblings(system, autojump_clock):
    log = []
    children = [*specs(Worker, log, "a"), *specs(Worker, log, "t", restart="temporary")]
    sup = await up(system, children, strategy="one_for_all")
    (await refs(sup))["a"].tell(ValueError())
    await settle(system)
    assert list(await refs(sup)) == ["a"]


# -- intensity and back-off -----------------------------------------------------------------------


@pytest.mark.requirement("actors:restart-intensity")
async def test_the_fourth_crash_within_the_period_ends_the_supervisor_and_its_children(
    system, autojump_clock, caplog
):
    log = []
    sup = await up(system, specs(Worker, log))
    reasons = fate(sup)
    for crash in range(4):
        assert sup.is_alive(), crash
        (await refs(sup))["b"].tell(ValueError())
        await settle(system)
    assert reasons == [Shutdown("restart intensity exceeded")]
    assert log[-2:] == ["-c", "-a"]
    assert "restart intensity exceeded (3 in 5 s) by child 'b'" in caplog.text


@pytest.mark.requirement("actors:restart-intensity")
async def test_crashes_further_apart_than_the_period_go_on_for_ever(system, autojump_clock):
    sup = await up(system, specs(Worker, [], "a"), intensity=1, period=5.0)
    for _ in range(20):
        (await refs(sup))["a"].tell(ValueError())
        await trio.sleep(5.1)
    assert sup.is_alive()


@pytest.mark.requirement("actors:restart-intensity")
async def test_failed_restarts_count_and_exhaust(system, autojump_clock, caplog):
    fails = [False, *[True] * 10]
    sup = await up(system, [ChildSpec("a", Worker, ("a", [], fails))], intensity=3)
    reasons = fate(sup)
    (await refs(sup))["a"].tell(ValueError())
    await settle(system)
    assert reasons == [Shutdown("restart intensity exceeded")]
    assert len(fails) == 7  # three tries


@pytest.mark.requirement("actors:restart-intensity")
async def test_a_failed_restart_is_tried_again(system, autojump_clock):
    fails = [False, True, False]
    sup = await up(system, [ChildSpec("a", Worker, ("a", [], fails))])
    (await refs(sup))["a"].tell(ValueError())
    await settle(system)
    assert (await refs(sup))["a"].is_alive()


async def test_an_exhausted_supervisor_is_restarted_by_its_own(system, autojump_clock):
    log = []
    inner = ChildSpec("inner", Supervisor, (specs(Worker, log, "a"),), {"intensity": 0})
    outer = await up(system, [inner])
    first = (await refs(outer))["inner"]
    (await refs(first))["a"].tell(ValueError())
    await settle(system)
    second = (await refs(outer))["inner"]
    assert second is not first
    assert log == ["+a", "+a"]


@pytest.mark.requirement("actors:restart-intensity")
async def test_a_back_off_waits_between_restarts_and_does_not_block_requests(
    system, autojump_clock
):
    log = []
    backoff = Backoff(min=1.0, max=10.0, jitter=0.0, reset_after=60)
    sup = await up(system, specs(Worker, log, "a"), intensity=10, period=100.0, backoff=backoff)
    waits = []
    for _ in range(3):
        (await refs(sup))["a"].tell(ValueError())
        await settle(system)
        began = trio.current_time()
        assert (await which_children(sup))[0].status == "restarting"
        with pytest.raises(ChildRestartingError):
            await restart_child(sup, "a")
        while (await refs(sup))["a"] is None:
            await trio.sleep(0.1)
        waits.append(round(trio.current_time() - began))
    assert waits == [1, 2, 4]


async def test_a_child_that_waits_for_its_restart_can_be_terminated(system, autojump_clock):
    sup = await up(system, specs(Worker, [], "a"), backoff=Backoff(min=1.0, max=10.0), intensity=10)
    (await refs(sup))["a"].tell(ValueError())
    await settle(system)
    await terminate_child(sup, "a")
    await trio.sleep(100)
    assert await refs(sup) == {"a": None}
    assert (await which_children(sup))[0].status == "stopped"


async def test_the_hooks_tell_a_subclass_of_exits_and_exhaustion(system, autojump_clock):
    seen = []

    class Watchful(Supervisor):
        def on_child_exit(self, spec, reason):
            seen.append((spec.id, type(reason)))

        def on_exhausted(self):
            seen.append("exhausted")

    sup = system.spawn(Watchful, specs(Worker, [], "a"), intensity=1)
    for _ in range(2):
        (await refs(sup))["a"].tell(ValueError())
        await settle(system)
    assert seen == [("a", Crash), ("a", Crash), "exhausted"]


# -- requests -------------------------------------------------------------------------------------


async def test_the_requests_answer_as_in_otp(system, autojump_clock):
    log = []
    sup = await up(system, specs(Worker, log, "ab"))
    spec = specs(Worker, log, "c")[0]
    ref = await start_child(sup, spec)
    assert ref.is_alive()
    with pytest.raises(ChildExistsError, match="exists already"):
        await start_child(sup, spec)
    with pytest.raises(ChildRunningError):
        await restart_child(sup, "c")
    with pytest.raises(ChildRunningError):
        await delete_child(sup, "c")
    assert await get_childspec(sup, "c") is spec
    await terminate_child(sup, "c")
    assert not ref.is_alive()
    with pytest.raises(ChildExistsError, match="restart_child or delete_child"):
        await start_child(sup, spec)
    counts = await count_children(sup)
    assert (counts.specs, counts.active, counts.workers, counts.supervisors) == (3, 2, 3, 0)
    assert (await restart_child(sup, "c")).is_alive()
    await terminate_child(sup, "c")
    await delete_child(sup, "c")
    for request in (terminate_child, restart_child, delete_child, get_childspec):
        with pytest.raises(ChildNotFoundError, match="child 'c' does not exist"):
            await request(sup, "c")


async def test_requests_to_a_dead_supervisor_fail_at_once(system, autojump_clock):
    sup = await up(system)
    await sup.stop(block=False)
    with pytest.raises(ActorDeadError):
        await which_children(sup)


async def test_a_named_child_is_found_under_its_name_after_each_restart(system, autojump_clock):
    await up(system, specs(Worker, [], "a", name="worker a"))
    first = system.names.whereis("worker a")
    first.tell(ValueError())
    await settle(system)
    second = system.names.whereis("worker a")
    assert second is not first
    assert second.is_alive()


async def test_a_child_whose_name_is_taken_does_not_start(system, autojump_clock):
    sup = await up(system, specs(Worker, [], "a", name="x"))
    with pytest.raises(ActorStartError, match="belongs to"):
        await start_child(sup, specs(Worker, [], "b", name="x")[0])
    assert len(system.names) == 2  # the root and x: a conflict leaves nothing behind


# -- configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ChildSpec("", Worker), "ChildSpec.id must be a non-empty value, got: ''"),
        (lambda: ChildSpec([], Worker), "ChildSpec.id must be a hashable value, got: []"),
        (lambda: ChildSpec("a", dict), "ChildSpec.start must be a class derived from Actor"),
        (
            lambda: ChildSpec("a", Worker, restart="permanant"),
            "ChildSpec.restart must be one of permanent, transient, temporary, got: 'permanant'. "
            "Did you mean 'permanent'?",
        ),
        (lambda: ChildSpec("a", Worker, shutdown=-1), "ChildSpec.shutdown must be a number of"),
        (lambda: ChildSpec("a", Worker, significant=True), "ChildSpec.significant must be False"),
        (lambda: Supervisor(strategy="one_for_two"), "Did you mean 'one_for_one'?"),
        (lambda: Supervisor(intensity=-1), "intensity must be a number of restarts, 0 or more"),
        (lambda: Supervisor(period=0), "period must be a positive number of seconds, got: 0"),
        (
            lambda: Supervisor([ChildSpec("a", Worker), ChildSpec("a", Worker)]),
            "children must be child specs with different ids, got: 'a'",
        ),
        (lambda: Supervisor(["a"]), "children must be a sequence of ChildSpec, got: 'a'"),
    ],
)
def test_a_wrong_option_is_refused_with_the_expectation_and_the_value(make, text):
    with pytest.raises(ConfigError) as caught:
        make()
    assert text in str(caught.value)


def test_a_supervisor_gets_unlimited_time_to_end_and_a_worker_five_seconds():
    assert ChildSpec("a", Worker).shutdown == 5.0
    assert ChildSpec("a", Worker).type == "worker"
    assert ChildSpec("s", Supervisor).shutdown == float("inf")
    assert ChildSpec("s", Supervisor).type == "supervisor"


async def test_a_crash_does_not_keep_its_frames_alive(system, autojump_clock, caplog):
    import gc
    import weakref

    class Big:
        pass

    class Holder(InlineActor):
        def on_receive(self, message):
            big = Big()
            message.append(weakref.ref(big))
            raise ValueError

    caplog.set_level(logging.CRITICAL, "pykka")
    sup = await up(system, [ChildSpec("h", Holder)])
    seen = []
    (await refs(sup))["h"].tell(seen)
    await settle(system)
    caplog.clear()
    gc.collect()
    assert seen[0]() is None
