"""Idle circuits are removed by themselves, once the tree is up."""

from __future__ import annotations

import trio

import brama
import brama.circuits.testing

DAY = 86400.0


async def run_in(nursery: trio.Nursery, **options) -> brama.System:
    system = brama.System(brama.Settings(**options))
    await nursery.start(system.run)
    return system


async def test_the_tree_removes_idle_circuits_and_tells_how_many(autojump_clock):
    seen = []
    async with trio.open_nursery() as nursery:
        system = await run_in(nursery)
        system.subscribe(
            brama.notifier.inline(seen.append), events=["cleanup", "connection_removed"]
        )
        for name in ("a", "b"):
            system.circuit(name)
        busy = system.circuit("busy")
        for _ in range(24):
            await trio.sleep(DAY / 24)
            busy.call(int)
        await trio.sleep(21)
        assert system.circuits() == (busy,)
        system.stop()
    assert sorted(event.connection for event in seen) == ["", "a", "b"]
    cleanup = next(event for event in seen if event.event == "cleanup")
    assert (dict(cleanup.data), cleanup.scope) == ({"removed": 2, "remaining": 1}, None)
    assert len({event.event_id for event in seen}) == 3


async def test_a_sweep_that_removes_nothing_is_no_event(autojump_clock):
    seen = []
    async with trio.open_nursery() as nursery:
        system = await run_in(nursery)
        system.subscribe(brama.notifier.inline(seen.append), events=["cleanup"])
        system.circuit("a")
        await trio.sleep(1000)
        system.stop()
    assert seen == []


async def test_both_options_can_be_changed_while_running(autojump_clock):
    async with trio.open_nursery() as nursery:
        system = await run_in(nursery, cleanup_interval=3600, inactive_threshold=7200)
        system.circuit("a")
        await trio.sleep(10)
        system.configure(cleanup_interval=1, inactive_threshold=30)
        await trio.sleep(15)
        assert len(system.circuits()) == 1
        await trio.sleep(7)
        assert len(system.circuits()) == 0
        system.stop()


async def test_a_sweep_that_fails_ends_nobody_and_the_next_one_tries_again(
    autojump_clock, monkeypatch, caplog
):
    async with trio.open_nursery() as nursery:
        system = await run_in(nursery, inactive_threshold=30)
        system.circuit("a")
        held = system.circuit("b")
        held.open_circuit(expires_in=1e6)
        await trio.sleep(1)
        supervisor = system._bells.supervisor
        with monkeypatch.context() as patched:
            patched.setattr(system._cleanup, "slice", lambda: 1 / 0)
            await trio.sleep(60)
            assert "idle circuits were not removed" in caplog.text
        assert system._bells.supervisor is supervisor
        assert len(system.circuits()) == 2
        await trio.sleep(10)
        assert system.circuits() == (held,)
        system.stop()


async def test_a_new_supervisor_goes_on_sweeping(autojump_clock):
    async with trio.open_nursery() as nursery:
        system = await run_in(nursery, inactive_threshold=30)
        await trio.sleep(1)
        brama.actors.kill(system._bells.supervisor)
        await trio.sleep(1)
        system.circuit("a")
        await trio.sleep(50)
        assert len(system.circuits()) == 0
        system.stop()


def test_one_cleanup_removes_what_was_idle_since_its_last_report():
    clock = brama.circuits.testing.FakeClock()
    system = brama.System(brama.Settings(clock=clock, inactive_threshold=100))
    system.circuit("a").success()
    clock.advance(101)
    assert system.cleanup() == 1


def test_a_caller_may_have_idle_circuits_removed_at_once_without_a_thread():
    clock = brama.circuits.testing.FakeClock()
    system = brama.System(brama.Settings(clock=clock, inactive_threshold=60))
    system.circuit("a")
    assert system.cleanup() == 0
    clock.advance(60)
    assert system.cleanup() == 1
    assert system.tree().status == "idle"


def test_the_environment_sets_both(monkeypatch):
    settings = brama.Settings.from_environment(
        {"BRAMA_CLEANUP_INTERVAL": "5", "BRAMA_INACTIVE_THRESHOLD": "60"}
    )
    assert settings.cleanup == {"cleanup_interval": 5.0, "inactive_threshold": 60.0}
    system = brama.System(settings)
    assert (system._cleanup.interval, system._cleanup.threshold) == (5.0, 60.0)
