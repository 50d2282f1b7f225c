"""The rules of Elixir's `DynamicSupervisor`, for every kind of child."""

from __future__ import annotations

import pykka
import pytest
import trio

from brama.actors import (
    ActorStartError,
    Backoff,
    ChildExistsError,
    ChildLimitError,
    ChildNotFoundError,
    ChildSpec,
    DynamicSupervisor,
    Ignore,
    Killed,
    Normal,
    Shutdown,
    Supervisor,
    count_children,
    default_actor_system,
    kill,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from brama.telemetry import ConfigError

from .workers import AsyncWorker, Script, calm, fate, refs, statuses, until

pytestmark = pytest.mark.usefixtures("clock")


def pool(system, **options):
    return system.spawn(DynamicSupervisor, **options)


async def crash(system, sup, id):
    (await refs(sup))[id].tell(ValueError("bug"))
    await calm(system)


@pytest.mark.requirement("actors:strategies")
async def test_a_child_whose_start_failed_gives_its_place_back(system, worker):
    sup = pool(system, max_children=1)
    for fault in (ValueError("no"), Ignore()):
        for hook in ("constructor", "on_start"):
            spec = ChildSpec("a", worker, ("a", Script(**{hook: fault})))
            if isinstance(fault, Ignore):
                assert await start_child(sup, spec) is None
            else:
                with pytest.raises(ActorStartError):
                    await start_child(sup, spec)
    assert (await start_child(sup, ChildSpec("a", worker))).is_alive()


@pytest.mark.requirement("actors:strategies")
async def test_a_restarting_child_keeps_its_place_and_counts_after_an_exit(system, worker):
    sup = pool(system, max_children=1, backoff=Backoff(min=1000, max=1000))
    await start_child(sup, ChildSpec("a", worker))
    await crash(system, sup, "a")
    assert await statuses(sup) == {"a": "restarting"}
    counts = await count_children(sup)
    assert (counts.specs, counts.active, counts.workers) == (1, 0, 1)
    with pytest.raises(ChildLimitError):
        await start_child(sup, ChildSpec("b", worker))
    with pytest.raises(ChildExistsError):
        await start_child(sup, ChildSpec("a", worker))


@pytest.mark.requirement("actors:strategies")
async def test_a_restarting_child_keeps_its_place_and_counts_after_a_failed_start(system, worker):
    script = Script(on_start=[None, *[ValueError("no")] * 10_000])
    sup = pool(system, max_children=1, intensity=9_000)
    await start_child(sup, ChildSpec("a", worker, ("a", script)))
    (await refs(sup))["a"].tell(ValueError("bug"))
    while (await statuses(sup))["a"] != "restarting":
        await trio.lowlevel.checkpoint()
    with pytest.raises(ChildLimitError):
        await start_child(sup, ChildSpec("b", worker))
    await terminate_child(sup, "a")
    assert (await start_child(sup, ChildSpec("b", worker))).is_alive()


@pytest.mark.requirement("actors:strategies")
async def test_a_child_that_waits_for_its_restart_can_be_ended(system, worker, clock):
    sup = pool(system, backoff=Backoff(min=1000, max=1000))
    await start_child(sup, ChildSpec("a", worker))
    await crash(system, sup, "a")
    await terminate_child(sup, "a")
    clock.jump(2000)
    await calm(system)
    assert await which_children(sup) == ()


@pytest.mark.requirement("actors:strategies")
async def test_extra_arguments_come_first_and_survive_restarts(system, worker):
    script = Script()
    sup = pool(system, extra_arguments=("shared",))
    await start_child(sup, ChildSpec("a", worker, (script,)))
    await crash(system, sup, "a")
    assert script.log == ["+shared", "!shared", "+shared"]


@pytest.mark.requirement("actors:restart-types")
@pytest.mark.parametrize(
    ("restart", "ending", "stays"),
    [
        ("permanent", Normal(), True),
        ("permanent", None, True),
        ("transient", Normal(), False),
        ("transient", Shutdown("x"), False),
        ("transient", ValueError("bug"), True),
        ("transient", None, True),
        ("temporary", ValueError("bug"), False),
    ],
    ids=repr,
)
async def test_a_child_that_is_not_restarted_is_forgotten(system, worker, restart, ending, stays):
    sup = pool(system)
    ref = await start_child(sup, ChildSpec("a", worker, restart=restart))
    kill(ref) if ending is None else ref.tell(ending)
    await calm(system)
    assert (list(await refs(sup)) == ["a"]) == stays


@pytest.mark.requirement("actors:strategies")
async def test_a_child_that_ignores_its_restart_is_forgotten(system, worker):
    sup = pool(system)
    await start_child(sup, ChildSpec("a", worker, ("a", Script(on_start=[None, Ignore()]))))
    await crash(system, sup, "a")
    assert await which_children(sup) == ()


@pytest.mark.requirement("actors:strategies")
async def test_a_child_that_was_terminated_is_forgotten(system, worker):
    sup = pool(system)
    await start_child(sup, ChildSpec("a", worker))
    await terminate_child(sup, "a")
    with pytest.raises(ChildNotFoundError):
        await restart_child(sup, "a")


@pytest.mark.requirement("actors:restart-intensity")
async def test_exhausted_it_ends_all_its_children(system, worker):
    sup = pool(system, intensity=1)
    reasons = fate(sup)
    for id in "ab":
        await start_child(sup, ChildSpec(id, worker))
    fates = [fate(ref) for ref in (await refs(sup)).values()]
    await crash(system, sup, "a")
    await crash(system, sup, "a")
    assert reasons == [Shutdown("restart intensity exceeded")]
    assert fates[1] == [Shutdown()]


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_children_of_all_sorts_end_at_once_each_in_its_own_way(system, clock, caplog):
    class Slow(AsyncWorker):
        async def on_stop(self):
            await trio.sleep(50)

    sup = pool(system)
    sorts = {
        "quick": (AsyncWorker, 5.0, Shutdown()),
        "brutal": (Slow, "brutal_kill", Killed("brutal kill")),
        "patient": (Slow, "infinity", Shutdown()),
        "in time": (Slow, 60.0, Shutdown()),
        "late": (Slow, 40.0, Killed("did not end in time")),
        "dirty": (AsyncWorker, 5.0, None),
    }
    fates = {}
    for id, (kind, shutdown, _) in sorts.items():
        script = Script(on_stop=ValueError("dirty")) if id == "dirty" else Script()
        ref = await start_child(sup, ChildSpec(id, kind, (id, script), shutdown=shutdown))
        fates[id] = fate(ref)
    answer = sup.stop(block=False)
    for seconds in (41, 10):
        await calm(system)
        clock.jump(seconds)
    assert await answer is True
    dirty = fates.pop("dirty")[0]
    assert isinstance(dirty.error, ValueError)
    assert fates == {id: [sorts[id][2]] for id in fates}
    assert "child 'late' did not end within 40 s" in caplog.text
    assert "child 'dirty' was told to end, and ended otherwise" in caplog.text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_children": 0}, "max_children must be a positive number, or None, got: 0"),
        ({"max_children": True}, "max_children must be a positive number, or None, got: True"),
        ({"extra_arguments": "abc"}, "extra_arguments must be a sequence of arguments"),
        ({"strategy": "one_for_all"}, "strategy must be 'one_for_one' in a DynamicSupervisor"),
        ({"strategy": "rest_for_one"}, "strategy must be 'one_for_one' in a DynamicSupervisor"),
        ({"strategy": "one_for_non"}, "Did you mean 'one_for_one'?"),
        ({"intensity": 1.5}, "intensity must be a number of restarts"),
        ({"backoff": 3}, "backoff must be a Backoff, or None"),
    ],
)
async def test_a_wrong_option_is_refused(options, text):
    with pytest.raises(ConfigError) as caught:
        DynamicSupervisor(**options)
    assert text in str(caught.value)


@pytest.mark.requirement("actors:systems")
def test_a_supervisor_started_by_its_class_is_not_in_pykkas_registry_either():
    script = Script()
    children = [ChildSpec("a", AsyncWorker, ("a", script))]
    sup = Supervisor.start(children)
    try:
        assert sup not in pykka.ActorRegistry.get_all()
        until(lambda: script.log == ["+a"])
        pykka.ActorRegistry.stop_all()
        assert sup.is_alive()
        assert sup.stop(timeout=5)
        assert script.log == ["+a", "-a"]
    finally:
        default_actor_system().stop()
