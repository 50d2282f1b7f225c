"""Significant children and ``auto_shutdown``, to the letter of OTP's ``supervisor``."""

from __future__ import annotations

import pytest

from brama.actors import (
    ChildSpec,
    Crash,
    Normal,
    Shutdown,
    Supervisor,
    kill,
    restart_child,
    start_child,
    terminate_child,
)
from brama.actors.strategy import AutoShutdown, ends_the_supervisor
from brama.telemetry import ConfigError

from .workers import InlineWorker, Script, calm, fate, refs, specs, statuses, up

pytestmark = [pytest.mark.usefixtures("clock"), pytest.mark.requirement("actors:auto-shutdown")]

DONE = [Shutdown("auto_shutdown")]


def significant(worker, names, restart="transient", script=None):
    return specs(worker, script or Script(), names, restart=restart, significant=True)


@pytest.mark.parametrize(
    ("policy", "is_significant", "others", "ends"),
    [
        ("never", True, False, False),
        ("any_significant", False, False, False),
        ("any_significant", True, True, True),
        ("any_significant", True, False, True),
        ("all_significant", False, False, False),
        ("all_significant", True, True, False),
        ("all_significant", True, False, True),
    ],
)
async def test_the_rule(policy, is_significant, others, ends):
    assert ends_the_supervisor(AutoShutdown(policy), is_significant, others) is ends


async def test_any_significant_ends_the_supervisor_with_the_first(system, worker):
    script = Script()
    children = [*specs(worker, script, "x"), *significant(worker, "ab", script=script)]
    sup = await up(system, children, auto_shutdown="any_significant")
    reasons = fate(sup)
    (await refs(sup))["a"].tell(Normal())
    await calm(system)
    assert reasons == DONE
    assert script.log == ["+x", "+a", "+b", "-a", "-b", "-x"]


async def test_all_significant_ends_the_supervisor_with_the_last(system, worker):
    children = [*specs(worker, Script(), "x"), *significant(worker, "ab")]
    sup = await up(system, children, auto_shutdown="all_significant")
    reasons = fate(sup)
    (await refs(sup))["a"].tell(Shutdown("done"))
    await calm(system)
    assert reasons == []
    (await refs(sup))["b"].tell(Normal())
    await calm(system)
    assert reasons == DONE


async def test_a_transient_significant_child_that_crashes_is_restarted_and_ends_nothing(
    system, worker
):
    sup = await up(system, significant(worker, "a"), auto_shutdown="any_significant")
    (await refs(sup))["a"].tell(ValueError())
    await calm(system)
    assert (await refs(sup))["a"].is_alive()


@pytest.mark.parametrize("ending", [Normal(), ValueError(), Crash(ValueError()), None], ids=repr)
async def test_a_temporary_significant_child_ends_the_supervisor_however_it_ends(
    system, worker, ending
):
    sup = await up(system, significant(worker, "a", "temporary"), auto_shutdown="any_significant")
    reasons = fate(sup)
    ref = (await refs(sup))["a"]
    kill(ref) if ending is None else ref.tell(ending)
    await calm(system)
    assert reasons == DONE


async def test_an_insignificant_child_ends_nothing(system, worker):
    children = [*specs(worker, Script(), "x", restart="transient"), *significant(worker, "a")]
    sup = await up(system, children, auto_shutdown="any_significant")
    (await refs(sup))["x"].tell(Normal())
    await calm(system)
    assert sup.is_alive()


async def test_deaths_caused_by_the_supervisor_do_not_count(system, worker):
    # By terminate_child, by pykka's stop(), and as the sibling of one that is restarted.
    children = [
        *specs(worker, Script(), "x"),
        *significant(worker, "ab"),
        *significant(worker, "t", "temporary"),
    ]
    sup = await up(
        system, children, auto_shutdown="any_significant", strategy="one_for_all", intensity=5
    )
    (await refs(sup))["x"].tell(ValueError())
    await calm(system)
    assert await statuses(sup) == {"x": "running", "a": "running", "b": "running"}
    await terminate_child(sup, "a")
    await (await refs(sup))["b"].stop(block=False)
    await calm(system)
    assert sup.is_alive()
    assert await statuses(sup) == {"x": "running", "a": "stopped", "b": "stopped"}


async def test_one_that_was_terminated_is_none_that_is_left(system, worker):
    sup = await up(system, significant(worker, "ab"), auto_shutdown="all_significant")
    reasons = fate(sup)
    await terminate_child(sup, "a")
    (await refs(sup))["b"].tell(Normal())
    await calm(system)
    assert reasons == DONE


async def test_one_that_was_started_again_is_left(system, worker):
    sup = await up(system, significant(worker, "ab"), auto_shutdown="all_significant")
    (await refs(sup))["a"].tell(Normal())
    await calm(system)
    await restart_child(sup, "a")
    (await refs(sup))["b"].tell(Normal())
    await calm(system)
    assert sup.is_alive()


async def test_a_permanent_child_cannot_be_significant():
    with pytest.raises(ConfigError, match="significant must be False for a permanent"):
        ChildSpec("a", InlineWorker, significant=True)


async def test_significant_children_need_a_supervisor_with_auto_shutdown(system):
    (spec,) = significant(InlineWorker, "a")
    with pytest.raises(ConfigError, match="False in a supervisor that has auto_shutdown='never'"):
        Supervisor([spec])
    sup = await up(system)
    with pytest.raises(ConfigError, match="auto_shutdown='never'"):
        await start_child(sup, spec)
    assert await refs(sup) == {}


async def test_an_unknown_policy_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'any_significant'"):
        Supervisor(auto_shutdown="any_signifcant")


async def test_a_permanent_supervisor_that_ends_itself_is_warned_about(system, caplog):
    inner = ChildSpec(
        "inner",
        Supervisor,
        (significant(InlineWorker, "a"),),
        {"auto_shutdown": "any_significant"},
    )
    await up(system, [inner])
    assert "child 'inner' has auto_shutdown and is permanent" in caplog.text
    caplog.clear()
    await up(system, [inner.but(restart="transient")])
    assert "auto_shutdown" not in caplog.text


async def test_a_transient_supervisor_that_ends_itself_is_not_restarted(system, worker):
    inner = ChildSpec(
        "inner",
        Supervisor,
        (significant(worker, "a"),),
        {"auto_shutdown": "any_significant"},
        restart="transient",
    )
    outer = await up(system, [inner])
    (await refs((await refs(outer))["inner"]))["a"].tell(Normal())
    await calm(system)
    assert await statuses(outer) == {"inner": "stopped"}
