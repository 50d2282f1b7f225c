"""The rules of OTP's supervisor, for every kind of child.

Each test's name is the rule; the documentation points here. Sources: ``supervisor.erl``, *Design
Principles*, and the names of the tests of Elixir's `Supervisor` and `DynamicSupervisor`.
"""

from __future__ import annotations

import copy
import itertools
import logging
import operator
import pickle

import pytest
import trio

from brama.actors import (
    ActorStartError,
    ChildExistsError,
    ChildNotFoundError,
    ChildRunningError,
    ChildSpec,
    Crash,
    DynamicSupervisor,
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
    which_children,
)
from brama.actors.testing import running

from .workers import (
    KINDS,
    AsyncWorker,
    InlineWorker,
    Script,
    calm,
    fate,
    refs,
    specs,
    statuses,
    up,
)

pytestmark = pytest.mark.usefixtures("clock")

ENDINGS = {
    "normal": Normal(),
    "shutdown": Shutdown(),
    "shutdown with a detail": Shutdown("moved away"),
    "crash": ValueError("bug"),
    "exit for a crash": Crash(ValueError("bug")),
    "killed": None,
}
QUIET = {"normal", "shutdown", "shutdown with a detail"}
STRATEGIES = ["one_for_one", "one_for_all", "rest_for_one"]
RESTARTS = ["permanent", "transient", "temporary"]


def end(ref, reason):
    if reason is None:
        kill(ref)
    else:
        ref.tell(reason)


# -- the decision table ---------------------------------------------------------------------------


@pytest.mark.requirement("actors:strategies", "actors:restart-types")
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.replace(" ", "-"))
async def test_the_decision_table_of_restart_type_exit_reason_and_strategy(
    system, worker, strategy, restart, ending
):
    script = Script()
    children = [
        *specs(worker, script, "a"),
        *specs(worker, script, "b", restart=restart),
        *specs(worker, script, "c"),
    ]
    sup = await up(system, children, strategy=strategy)
    before = await refs(sup)
    end(before["b"], ENDINGS[ending])
    await calm(system)
    after = await refs(sup)
    restarted = restart == "permanent" or (restart == "transient" and ending not in QUIET)
    group = {"one_for_one": "b", "one_for_all": "abc", "rest_for_one": "bc"}[strategy]
    for name in "abc":
        if restarted and name in group:
            assert after[name] is not before[name]
            assert after[name].is_alive()
        elif name != "b":
            assert after[name] is before[name]
    if not restarted:
        assert after.get("b") is None
        # OTP: the spec of a temporary child goes with it, that of a transient one stays.
        assert ("b" in after) == (restart == "transient")
    await sup.stop(block=False)


# -- start ----------------------------------------------------------------------------------------


async def test_children_start_in_order_each_after_the_one_before_has_acknowledged(system, worker):
    script = Script()
    sup = await up(system, specs(worker, script))
    assert script.log == ["+a", "+b", "+c"]
    await sup.stop(block=False)
    assert script.log[3:] == ["-c", "-b", "-a"]


@pytest.mark.parametrize("hook", ["constructor", "on_start"])
@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()], ids=repr)
async def test_a_child_that_fails_to_start_takes_those_before_it_down_whatever_it_raises(
    system, worker, hook, error
):
    script = Script()
    children = [
        *specs(worker, script, "ab"),
        ChildSpec("c", worker, ("c", Script(**{hook: error}))),
    ]
    parent = await up(system)
    with pytest.raises(ActorStartError) as caught:
        await start_child(parent, ChildSpec("sup", Supervisor, (children,)))
    cause = caught.value
    while isinstance(cause, ActorStartError):
        cause = cause.__cause__
    assert cause is error
    assert script.log == ["+a", "+b", "-b", "-a"]
    assert (await count_children(parent)).specs == 0


async def test_ignore_keeps_the_spec_with_no_process_and_the_others_start(system, worker):
    from brama.actors import Ignore

    script = Script()
    ignoring = Script(on_start=Ignore("not today"))
    children = [
        *specs(worker, script, "a"),
        ChildSpec("i", worker, ("i", ignoring)),
        *specs(worker, script, "c"),
    ]
    sup = await up(system, children)
    assert await statuses(sup) == {"a": "running", "i": "stopped", "c": "running"}
    counts = await count_children(sup)
    assert (counts.specs, counts.active) == (3, 2)
    ignoring.faults.clear()
    assert (await restart_child(sup, "i")).is_alive()


@pytest.mark.parametrize("hook", ["constructor", "on_start"])
async def test_ignore_of_a_temporary_child_drops_its_spec(system, worker, hook, caplog):
    from brama.actors import Ignore

    sup = await up(system)
    spec = ChildSpec("i", worker, ("i", Script(**{hook: Ignore()})), restart="temporary", name="n")
    assert await start_child(sup, spec) is None
    assert await refs(sup) == {}
    assert system.names.whereis("n") is None
    assert [one for one in caplog.records if one.levelno > logging.INFO] == []


async def test_ignore_at_a_restart_leaves_the_child_stopped(system, worker):
    from brama.actors import Ignore

    sup = await up(system, [ChildSpec("i", worker, ("i", Script(on_start=[None, Ignore()])))])
    (await refs(sup))["i"].tell(ValueError())
    await calm(system)
    assert await statuses(sup) == {"i": "stopped"}


async def test_a_start_that_takes_too_long_is_killed_and_named(system, clock):
    class Slow(AsyncWorker):
        async def on_start(self):
            await trio.sleep_forever()

    sup = await up(system)
    answer = start_child(sup, ChildSpec("slow", Slow, start_timeout=30.0))
    await calm(system)
    clock.jump(31)
    with pytest.raises(ActorStartError, match=r"child 'slow' did not start: its on_start took"):
        await answer
    assert await refs(sup) == {}


async def test_a_start_without_a_time_limit_waits(system, clock):
    class Slow(AsyncWorker):
        async def on_start(self):
            await trio.sleep(3600)

    sup = await up(system)
    answer = start_child(sup, ChildSpec("slow", Slow, start_timeout="infinity"))
    await calm(system)
    clock.jump(3599)
    await calm(system)
    clock.jump(2)
    assert (await answer).is_alive()


async def test_an_actor_that_was_started_already_is_no_child(system):
    present = system.spawn(InlineWorker)._actor_weakref()

    class Singleton(InlineWorker):
        def __new__(cls):
            return present

    sup = await up(system)
    with pytest.raises(ActorStartError, match="had been started already"):
        await start_child(sup, ChildSpec("s", Singleton))
    assert present.actor_ref.is_alive()


@pytest.mark.parametrize(
    "bad",
    ["nonsense", None, 3, dict, object(), ("a", InlineWorker)],
    ids=["a string", "None", "a number", "another class", "an object", "a tuple"],
)
async def test_a_bad_spec_is_refused_where_it_is_given(system, bad):
    from brama.telemetry import ConfigError

    sup = await up(system)
    with pytest.raises(ConfigError, match="spec must be a ChildSpec"):
        start_child(sup, bad)
    with pytest.raises(ConfigError, match="children must be a"):
        Supervisor([bad])
    assert sup.is_alive()


async def test_a_class_that_needs_no_arguments_is_its_own_spec(system, worker):
    sup = await up(system, [worker])
    assert list(await refs(sup)) == [worker]


# -- restart --------------------------------------------------------------------------------------


@pytest.mark.requirement("actors:restart-intensity")
async def test_a_restart_that_fails_is_retried_and_each_try_counts(system, worker):
    script = Script(on_start=[None, ValueError("1"), ValueError("2"), None])
    sup = await up(system, [ChildSpec("a", worker, ("a", script))], intensity=3)
    (await refs(sup))["a"].tell(ValueError())
    await calm(system)
    assert (await refs(sup))["a"].is_alive()
    reasons = fate(sup)
    (await refs(sup))["a"].tell(ValueError())
    await calm(system)
    assert reasons == [Shutdown("restart intensity exceeded")]


@pytest.mark.requirement("actors:restart-intensity")
@pytest.mark.parametrize("hook", ["constructor", "on_start"])
async def test_a_child_that_never_starts_again_ends_its_supervisor(system, worker, hook):
    script = Script(**{hook: [None, *[ValueError("again")] * 10]})
    sup = await up(system, [ChildSpec("a", worker, ("a", script))], intensity=3)
    reasons = fate(sup)
    (await refs(sup))["a"].tell(ValueError())
    await calm(system)
    assert reasons == [Shutdown("restart intensity exceeded")]
    assert len(script.faults[hook]) == 10 - 3  # the restart and its retries, three in all


async def test_between_retries_the_supervisor_reads_its_mail(system, worker):
    # OTP: it sends itself the retry, so that it can still be told to end, or to drop the child.
    script = Script(on_start=[None, *[ValueError("again")] * 1000])
    sup = await up(system, [ChildSpec("a", worker, ("a", script))], intensity=500)
    (await refs(sup))["a"].tell(ValueError())
    await terminate_child(sup, "a")
    await calm(system)
    assert await statuses(sup) == {"a": "stopped"}
    await delete_child(sup, "a")
    assert sup.is_alive()


async def test_those_after_a_failed_restart_wait_for_it_and_start_in_order(system, worker):
    script = Script()
    fragile = Script(on_start=[None, ValueError("not yet"), None])
    fragile.log = script.log
    children = [
        *specs(worker, script, "a"),
        ChildSpec("b", worker, ("b", fragile)),
        *specs(worker, script, "c"),
    ]
    sup = await up(system, children, strategy="rest_for_one")
    (await refs(sup))["b"].tell(ValueError())
    await calm(system)
    assert script.log == ["+a", "+b", "+c", "!b", "-c", "+b", "+c"]


async def test_dropping_the_one_that_fails_to_restart_leaves_those_after_it_stopped(system, worker):
    fragile = Script(on_start=[None, *[ValueError("never")] * 1000])
    children = [ChildSpec("a", worker, ("a", fragile)), *specs(worker, Script(), "b")]
    sup = await up(system, children, strategy="one_for_all", intensity=500)
    (await refs(sup))["a"].tell(ValueError())
    while (await statuses(sup))["a"] != "restarting":
        await trio.lowlevel.checkpoint()
    await terminate_child(sup, "a")
    await calm(system)
    assert await statuses(sup) == {"a": "stopped", "b": "stopped"}
    assert (await restart_child(sup, "b")).is_alive()


async def test_one_for_all_starts_again_who_had_ended_quietly_or_was_terminated(system, worker):
    children = [
        *specs(worker, Script(), "a"),
        *specs(worker, Script(), "bc", restart="transient"),
    ]
    sup = await up(system, children, strategy="one_for_all")
    (await refs(sup))["b"].tell(Normal())
    await terminate_child(sup, "c")
    await calm(system)
    assert await statuses(sup) == {"a": "running", "b": "stopped", "c": "stopped"}
    (await refs(sup))["a"].tell(ValueError())
    await calm(system)
    assert set((await statuses(sup)).values()) == {"running"}


async def test_an_exit_of_an_earlier_incarnation_is_ignored(system, worker):
    sup = await up(system, specs(worker, Script(), "ab"), strategy="one_for_all", intensity=1)
    both = await refs(sup)
    # Both crash: the restart for the first ends and replaces the second.
    for ref in both.values():
        ref.tell(ValueError())
    await calm(system)
    assert sup.is_alive()
    assert all(ref.is_alive() for ref in (await refs(sup)).values())


async def test_pykkas_stop_on_a_child_is_terminate_child(system, worker):
    sup = await up(system, specs(worker, Script(), "a"))
    await (await refs(sup))["a"].stop(block=False)
    await calm(system)
    assert await statuses(sup) == {"a": "stopped"}
    assert (await restart_child(sup, "a")).is_alive()


# -- end ------------------------------------------------------------------------------------------


@pytest.mark.requirement("actors:ordered-shutdown")
@pytest.mark.parametrize("shutdown", [0, "brutal_kill"])
async def test_brutal_kill_does_not_ask(system, worker, shutdown):
    script = Script()
    sup = await up(system, specs(worker, script, "a", shutdown=shutdown))
    reasons = fate((await refs(sup))["a"])
    await terminate_child(sup, "a")
    await calm(system)
    assert script.log == ["+a"]
    assert reasons == [Killed("brutal kill")]


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_infinity_waits_for_as_long_as_it_takes(system, clock):
    class Slow(AsyncWorker):
        async def on_stop(self):
            await trio.sleep(100_000)

    sup = await up(system, [ChildSpec("s", Slow, shutdown="infinity")])
    reasons = fate((await refs(sup))["s"])
    answer = terminate_child(sup, "s")
    await calm(system)
    clock.jump(99_999)
    await calm(system)
    assert reasons == []
    clock.jump(2)
    await answer
    assert reasons == [Shutdown()]


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_child_that_does_not_end_in_time_is_cancelled_with_the_reason(
    system, clock, caplog
):
    seen = []

    class Slow(AsyncWorker):
        async def on_stop(self):
            try:
                await trio.sleep_forever()
            except trio.Cancelled as error:
                seen.append(str(error))
                raise

    sup = await up(system, [ChildSpec("s", Slow, shutdown=60.0)])
    reasons = fate((await refs(sup))["s"])
    answer = terminate_child(sup, "s")
    await calm(system)
    clock.jump(61)
    await answer
    assert reasons == [Killed("did not end in time")]
    assert "did not end in time" in seen[0]
    assert "child 's' did not end within 60 s and was killed" in caplog.text


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_a_child_that_ends_otherwise_than_told_is_reported(system, worker, caplog):
    sup = await up(system, [ChildSpec("s", worker, ("s", Script(on_stop=ValueError("dirty"))))])
    await terminate_child(sup, "s")
    assert (
        "child 's' was told to end, and ended otherwise: Crash(ValueError('dirty'))" in caplog.text
    )


@pytest.mark.requirement("actors:ordered-shutdown")
@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_a_quiet_end_of_its_own_in_that_moment_is_a_fault_of_permanent_children_only(
    system, restart, caplog
):
    leave = trio.Event()

    class Leaver(AsyncWorker):
        async def on_receive(self, message):
            await leave.wait()
            self.exit(Normal())

    sup = await up(system, [ChildSpec("s", Leaver, restart=restart)])
    (await refs(sup))["s"].tell("leave")
    answer = terminate_child(sup, "s")
    await calm(system)
    leave.set()
    await answer
    reported = "ended otherwise: Normal()" in caplog.text
    assert reported == (restart == "permanent")


async def test_children_end_with_the_death_of_their_supervisor_however_it_dies(system, worker):
    sup = await up(system, [ChildSpec("inner", Supervisor, (specs(worker, Script()),))])
    inner = (await refs(sup))["inner"]
    fates = [fate(ref) for ref in (await refs(inner)).values()]
    kill(inner)
    await calm(system)
    assert fates == [[Killed("its supervisor ended")]] * 3
    assert len(await refs((await refs(sup))["inner"])) == 3


async def test_a_supervisor_that_is_killed_while_it_ends_children_leaves_none(system, clock):
    class Slow(AsyncWorker):
        async def on_stop(self):
            await trio.sleep_forever()

    for kind in (Supervisor, DynamicSupervisor):
        sup = system.spawn(kind)
        ref = await start_child(sup, ChildSpec("s", Slow, shutdown="infinity"))
        sup.stop(block=False)
        await calm(system)
        kill(sup)
        await calm(system)
        assert not ref.is_alive()
        assert not [cell for cell in system.cells if isinstance(cell.actor, Slow)]


async def test_a_supervisor_may_be_stopped_twice(system, worker):
    script = Script()
    sup = await up(system, specs(worker, script))
    first, second = sup.stop(block=False), sup.stop(block=False)
    assert [await first, await second].count(True) >= 1
    assert script.log == ["+a", "+b", "+c", "-c", "-b", "-a"]
    assert await sup.stop(block=False) is False


# -- requests -------------------------------------------------------------------------------------


async def test_duplicate_ids_are_refused_at_the_start_and_later(system, worker):
    from brama.telemetry import ConfigError

    with pytest.raises(ConfigError, match="child specs with different ids"):
        Supervisor(specs(worker, Script(), "aa"))
    sup = await up(system, specs(worker, Script(), "a"))
    with pytest.raises(ChildExistsError):
        await start_child(sup, specs(worker, Script(), "a")[0])


@pytest.mark.parametrize("request_", [terminate_child, restart_child, delete_child, get_childspec])
async def test_requests_about_a_child_that_is_not_there_are_refused(system, request_):
    sup = await up(system)
    with pytest.raises(ChildNotFoundError):
        await request_(sup, "nobody")


async def test_restart_and_delete_want_a_stopped_child(system, worker):
    sup = await up(system, specs(worker, Script(), "a"))
    for request in (restart_child, delete_child):
        with pytest.raises(ChildRunningError):
            await request(sup, "a")
    await terminate_child(sup, "a")
    await terminate_child(sup, "a")  # a second time is right, too
    await delete_child(sup, "a")
    assert await refs(sup) == {}


async def test_which_children_and_count_children_tell_what_there_is(system, worker):
    children = [
        *specs(worker, Script(), "a"),
        *specs(worker, Script(), "t", restart="transient"),
        ChildSpec("s", Supervisor),
    ]
    sup = await up(system, children)
    (await refs(sup))["t"].tell(Normal())
    await calm(system)
    shown = [(one.id, one.type, one.status, one.actor_class) for one in await which_children(sup)]
    assert shown == [
        ("a", "worker", "running", worker),
        ("t", "worker", "stopped", worker),
        ("s", "supervisor", "running", Supervisor),
    ]
    counts = await count_children(sup)
    assert (counts.specs, counts.active, counts.supervisors, counts.workers) == (3, 2, 1, 2)


async def test_the_arguments_of_temporary_children_are_not_kept(system, worker):
    for kind in (Supervisor, DynamicSupervisor):
        sup = system.spawn(kind)
        for restart, kept in (("temporary", False), ("transient", True), ("permanent", True)):
            script = Script()
            spec = ChildSpec(restart, worker, (restart, script), restart=restart)
            await start_child(sup, spec)
            shown = await get_childspec(sup, restart)
            assert shown.args == ((restart, script) if kept else ())


# -- while the system is being cancelled ----------------------------------------------------------


@pytest.mark.requirement("actors:ordered-shutdown")
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("moment", "worker"),
    [
        (moment, worker)
        for moment, worker in itertools.product(
            ["starting", "restarting", "terminating", "exhausted", "idle"], KINDS
        )
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_a_tree_ends_in_reverse_and_whole_when_its_system_is_cancelled_meanwhile(
    worker, strategy, moment
):
    from brama.actors import ActorSystem

    script = Script()
    system = ActorSystem("cancelled")
    with trio.CancelScope() as scope:
        async with running(system):
            sup = await up(system, specs(worker, script), strategy=strategy, intensity=1)
            children = await refs(sup)
            if moment == "starting":
                start_child(sup, specs(worker, script, "d")[0])
            elif moment == "terminating":
                terminate_child(sup, "b")
            elif moment != "idle":
                for _ in range(1 + (moment == "exhausted")):
                    children["b"].tell(ValueError())
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert not system.cells
    assert not system.running
    # Who was up went down in reverse of the start order; "b" may have gone before, by itself.
    running_now: set[str] = set()
    for sign, name in script.log:
        if sign == "+":
            running_now.add(name)
        elif name in running_now:
            running_now.remove(name)
            assert name == "b" or not {one for one in running_now if one > name} - {"b"}, script.log
    assert not running_now, script.log


def test_a_spec_without_options_shares_them_with_no_one_who_could_write_them():
    one = ChildSpec("one", InlineWorker)
    assert one.kwargs == {}
    for write in (
        lambda: operator.setitem(one.kwargs, "a", 1),
        lambda: one.kwargs.update(a=1),
        lambda: one.kwargs.setdefault("a", 1),
    ):
        with pytest.raises(TypeError, match="frozen"):
            write()
    assert ChildSpec("other", InlineWorker).kwargs == {}
    assert copy.deepcopy(one) == one == pickle.loads(pickle.dumps(one))
