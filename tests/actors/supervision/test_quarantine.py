"""Back-off and quarantine: a child that keeps crashing is set aside, alone."""

from __future__ import annotations

import logging

import pytest

import brama.telemetry
from brama.actors import (
    Backoff,
    ChildLimitError,
    ChildSpec,
    DynamicSupervisor,
    InlineActor,
    Supervisor,
    count_children,
    delete_child,
    restart_child,
    start_child,
    terminate_child,
)
from brama.telemetry import ConfigError

from .workers import InlineWorker, Script, calm, fate, refs, specs, statuses, up

pytestmark = [pytest.mark.usefixtures("clock"), pytest.mark.requirement("actors:restart-intensity")]


async def crash(system, sup, name, times=1):
    for _ in range(times):
        (await refs(sup))[name].tell(ValueError("secret of the bug"))
        await calm(system)


async def test_an_exhausted_child_is_set_aside_and_all_others_go_on(system, worker):
    sup = await up(system, specs(worker, Script(), "ab"), quarantine=True, intensity=2)
    await crash(system, sup, "a", 3)
    assert await statuses(sup) == {"a": "quarantined", "b": "running"}
    assert (await count_children(sup)).active == 1


async def test_each_child_has_an_intensity_of_its_own(system):
    sup = await up(system, specs(InlineWorker, Script(), "abc"), quarantine=True, intensity=2)
    for name in "abc":
        await crash(system, sup, name, 2)
    assert set((await statuses(sup)).values()) == {"running"}


async def test_without_quarantine_the_children_share_one_intensity(system):
    sup = await up(system, specs(InlineWorker, Script(), "abc"), intensity=2)
    reasons = fate(sup)
    for name in "abc":
        await crash(system, sup, name)
    assert len(reasons) == 1


async def test_a_quarantine_is_reported_in_log_health_and_hook_and_to_the_subclass(system, caplog):
    heard, told = [], []

    class Watchful(Supervisor):
        def on_quarantine(self, spec, reason):
            told.append((spec.id, reason))

    def listen(event, measurements, metadata, config):
        heard.append((event, measurements["count"], metadata["name"], metadata["error_type"]))

    brama.telemetry.attach("test", "brama.supervisor.quarantined", listen)
    try:
        children = specs(InlineWorker, Script(), "a")
        sup = await up(system, children, kind=Watchful, quarantine=True, intensity=0)
        assert system.health().status == "ok"
        await crash(system, sup, "a")
    finally:
        brama.telemetry.detach("test")
    assert heard == [("brama.supervisor.quarantined", 1, "a", "ValueError")]
    assert told == [("a", "Crash(ValueError('secret of the bug'))")]
    health = system.health()
    assert (health.status, health.quarantined) == ("degraded", 1)
    assert "child 'a' of" in health.reasons[0]
    (line,) = [one for one in caplog.records if "is quarantined" in one.message]
    assert line.levelno == logging.ERROR
    assert "It stays down until restart_child; all others go on" in line.message


@pytest.mark.parametrize("way_out", ["restart", "terminate", "delete", "end"])
async def test_a_quarantine_ends_by_request_or_with_its_supervisor_and_so_does_its_report(
    system, way_out
):
    sup = await up(system, specs(InlineWorker, Script(), "a"), quarantine=True, intensity=0)
    await crash(system, sup, "a")
    if way_out == "restart":
        assert (await restart_child(sup, "a")).is_alive()
    elif way_out == "terminate":
        await terminate_child(sup, "a")
        assert await statuses(sup) == {"a": "stopped"}
    elif way_out == "delete":
        await delete_child(sup, "a")
        assert await statuses(sup) == {}
    else:
        await sup.stop(block=False)
    assert system.health().status == "ok"


async def test_after_a_quarantine_a_child_begins_anew(system):
    sup = await up(system, specs(InlineWorker, Script(), "a"), quarantine=True, intensity=1)
    await crash(system, sup, "a", 2)
    await restart_child(sup, "a")
    await crash(system, sup, "a")
    assert await statuses(sup) == {"a": "running"}


async def test_a_child_that_does_not_start_again_is_quarantined_too(system, worker):
    script = Script(on_start=[None, *[ValueError("no")] * 50])
    children = [ChildSpec("a", worker, ("a", script)), *specs(worker, Script(), "b")]
    sup = await up(system, children, quarantine=True, intensity=3)
    await crash(system, sup, "a")
    assert await statuses(sup) == {"a": "quarantined", "b": "running"}


async def test_a_quarantined_child_keeps_its_place(system):
    sup = await up(system, (), kind=Pool, max_children=1, quarantine=True, intensity=0)
    await start_child(sup, ChildSpec("a", InlineWorker))
    await crash(system, sup, "a")
    with pytest.raises(ChildLimitError):
        await start_child(sup, ChildSpec("b", InlineWorker))
    await terminate_child(sup, "a")
    assert (await start_child(sup, ChildSpec("b", InlineWorker))).is_alive()


class Pool(DynamicSupervisor):
    def __init__(self, _children, **options):
        super().__init__(**options)


async def test_quarantine_is_for_one_for_one_only():
    with pytest.raises(ConfigError, match="quarantine must be False with the strategy one_for_all"):
        Supervisor(strategy="one_for_all", quarantine=True)


async def test_a_back_off_waits_without_blocking_the_mailbox_and_then_quarantines(system, clock):
    backoff = Backoff(min=60.0, max=600.0, jitter=0.0)
    sup = await up(
        system,
        specs(InlineWorker, Script(), "ab"),
        quarantine=True,
        intensity=2,
        period=10_000,
        backoff=backoff,
    )
    for wait in (60, 120):
        await crash(system, sup, "a")
        assert await statuses(sup) == {"a": "restarting", "b": "running"}
        clock.jump(wait - 1)
        await calm(system)
        assert (await statuses(sup))["a"] == "restarting"
        clock.jump(2)
        await calm(system)
        assert (await statuses(sup))["a"] == "running"
    await crash(system, sup, "a")
    # At once: there is no use in waiting for a restart that is not going to be.
    assert await statuses(sup) == {"a": "quarantined", "b": "running"}


async def test_during_a_back_off_the_others_of_the_group_are_down(system, worker, clock):
    script = Script()
    sup = await up(
        system,
        specs(worker, script),
        strategy="rest_for_one",
        backoff=Backoff(min=60.0, max=600.0, jitter=0.0),
    )
    await crash(system, sup, "b")
    assert await statuses(sup) == {"a": "running", "b": "restarting", "c": "stopped"}
    clock.jump(61)
    await calm(system)
    assert script.log == ["+a", "+b", "+c", "!b", "-c", "+b", "+c"]


async def test_a_back_off_begins_anew_for_a_child_that_lived_long_enough(system, clock):
    backoff = Backoff(min=10.0, max=1000.0, jitter=0.0, reset_after=500.0)
    sup = await up(
        system, specs(InlineWorker, Script(), "a"), intensity=100, period=1e6, backoff=backoff
    )
    for lived, wait in ((0, 10), (499, 20), (501, 10), (0, 20)):
        clock.jump(lived)
        await crash(system, sup, "a")
        clock.jump(wait - 1)
        await calm(system)
        assert (await statuses(sup))["a"] == "restarting", (lived, wait)
        clock.jump(1.5)
        await calm(system)
        assert (await statuses(sup))["a"] == "running", (lived, wait)


async def test_a_hook_of_a_subclass_that_raises_is_logged_and_harms_nobody(system, caplog):
    class Clumsy(Supervisor):
        def on_child_exit(self, spec, reason):
            raise KeyError("mine")

        def on_quarantine(self, spec, reason):
            raise KeyError("mine, too")

    sup = await up(
        system, specs(InlineWorker, Script(), "ab"), kind=Clumsy, quarantine=True, intensity=0
    )
    await crash(system, sup, "a")
    assert await statuses(sup) == {"a": "quarantined", "b": "running"}
    assert "on_child_exit raised" in caplog.text
    assert "on_quarantine raised" in caplog.text


@pytest.mark.requirement("actors:telemetry")
async def test_restarts_and_exhaustion_are_announced(system):
    heard = []

    def listen(event, measurements, metadata, config):
        heard.append((event, measurements["count"], metadata["name"], metadata["reason"]))

    brama.telemetry.attach("test", ["brama.actor.restart", "brama.supervisor.exhausted"], listen)
    try:
        sup = await up(system, specs(InlineWorker, Script(), "a", name="alpha"), intensity=1)
        await crash(system, sup, "a", 1)
        await crash(system, sup, "a", 1)
    finally:
        brama.telemetry.detach("test")
    reason = "Crash(ValueError('secret of the bug'))"
    assert heard == [
        ("brama.actor.restart", 1, "alpha", reason),
        ("brama.supervisor.exhausted", 2, "alpha", reason),
    ]


async def test_format_status_keeps_secrets_out_of_logs_trees_and_hooks(system, caplog):
    from brama.actors import Crash, Status

    class Discreet(InlineActor):
        def __init__(self, reason):
            super().__init__()
            self.reason = reason

        def on_receive(self, message):
            self.exit(self.reason)

        @classmethod
        def format_status(cls, status: Status) -> Status:
            return status.but(reason=Crash(ValueError("…")))

    class Broken(Discreet):
        @classmethod
        def format_status(cls, status):
            raise KeyError("secret of the bug")

    caplog.set_level(logging.INFO, "brama.actors")
    heard = []
    brama.telemetry.attach(
        "test",
        "brama.*",
        lambda event, numbers, metadata, config: heard.append(metadata.get("reason")),
    )
    try:
        for kind, shown in (
            (Discreet, "Crash(ValueError('…'))"),
            (Broken, "hidden: format_status raised KeyError"),
        ):
            spec = ChildSpec("a", kind, (Crash(ValueError("secret of the bug")),))
            sup = await up(system, [spec], quarantine=True, intensity=0)
            (await refs(sup))["a"].tell("go")
            await calm(system)
            assert shown in str(heard)
            assert shown in caplog.text
            assert shown in str(system.health())
    finally:
        brama.telemetry.detach("test")
    assert "secret" not in caplog.text + str(heard) + str(system.health()) + str(system.tree())
