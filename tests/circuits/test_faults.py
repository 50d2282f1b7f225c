"""Whoever manages a circuit may be killed at any step: no permit, no state and no event is lost."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

import brama
from brama.actors import kill
from brama.circuits import Bells, Breaker, ConnectionActor
from brama.notifier import Registry, inline

requirement = pytest.mark.requirement

STEPS = [
    (Bells, "arrived"),
    (Bells, "heard"),
    (Breaker, "tick"),
    (Breaker, "pending"),
    (ConnectionActor, "_publish"),
    (ConnectionActor, "_trace"),
    (ConnectionActor, "_set_timer"),
    (Bells, "look"),
    (Bells, "leave"),
    (Registry, "_publish"),
]
TIMES = 6


class Crash(Exception):
    """A mistake of ours."""


def raise_it(_system: brama.System) -> None:
    raise Crash


def kill_the_actor(system: brama.System) -> None:
    for actor in list(system._bells.actors.values()):
        if actor is not None:
            kill(actor)


def kill_the_registry(system: brama.System) -> None:
    registry = system.actors.names.whereis("registry")
    if registry is not None:
        kill(registry)


def kill_the_supervisor(system: brama.System) -> None:
    if system._bells.supervisor is not None:
        kill(system._bells.supervisor)


class Fault:
    """Strikes at the first calls of one step, before or after what it does."""

    def __init__(self, strike: Callable[[brama.System], None], *, before: bool) -> None:
        self.strike = strike
        self.before = before
        self.struck = 0
        self.system: brama.System | None = None

    def wrap(self, step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        def faulty(*args: Any, **kwargs: Any) -> Any:
            system = self.system
            strikes = system is not None and self.struck < TIMES and system.actors.on_loop_thread()
            if strikes and self.before:
                self.struck += 1
                self.strike(system)
            result = step(*args, **kwargs)
            if strikes and not self.before:
                self.struck += 1
                self.strike(system)
            return result

        return faulty


@pytest.fixture(params=[True, False], ids=["before", "after"])
def before(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(
    params=[raise_it, kill_the_actor, kill_the_registry, kill_the_supervisor],
    ids=lambda strike: strike.__name__,
)
def fault(request: pytest.FixtureRequest, before: bool) -> Iterator[Fault]:
    return Fault(request.param, before=before)


@requirement("BR-19", "SB-10", "SB-11")
@pytest.mark.parametrize(
    ("owner", "step"), STEPS, ids=[f"{owner.__name__}.{step}" for owner, step in STEPS]
)
async def test_nothing_is_lost_and_nobody_stays_behind(
    owner, step, fault, autojump_clock, monkeypatch, caplog
):
    monkeypatch.setattr(owner, step, fault.wrap(getattr(owner, step)))
    seen: list[brama.Event] = []
    system = brama.System(brama.Settings())
    system.actors.backoff = brama.actors.Backoff(min=0.01, max=0.1)
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        system.subscribe(inline(seen.append), events=["state_change"], connection="api")
        circuit = system.circuit("api", failure_threshold=1, expiry=10.0, half_open_timeout=5.0)
        fault.system = system
        for _ in range(4):
            circuit.failure("Timeout")
            assert circuit.state is brama.State.OPEN
            assert circuit.try_acquire() is None
            await trio.sleep(10.5)
            assert circuit.state is brama.State.HALF_OPEN
            lost = circuit.try_acquire()
            assert lost is not None
            assert circuit.try_acquire() is None
            await trio.sleep(5.5)
            probe = circuit.try_acquire()  # the place of the lost one is free again
            assert probe is not None
            lost.failure("too late")
            assert circuit.state is brama.State.HALF_OPEN
            probe.success()
            assert circuit.state is brama.State.CLOSED
            await trio.sleep(1)
        fault.system = None
        circuit.open_circuit()  # if the last was lost with the actor that was to take it
        circuit.close_circuit()
        await trio.sleep(30)
        assert system.tree().find("circuits").children == ()
        assert (system._bells.actors, system._bells._rung) == ({}, set())
        assert circuit._breaker.log is None
        system.stop()
    assert fault.struck >= 3
    moves = [(event.data["previous_state"], event.data["new_state"]) for event in seen]
    cycle = [("closed", "open"), ("open", "half_open"), ("half_open", "closed")]
    assert moves == [*cycle * 4, ("closed", "open"), ("open", "closed")]
    assert [event.seq for event in seen] == list(range(1, 28, 2))
    status = circuit.status()
    assert (status.in_flight, status.late, status.opened_count) == (0, 4, 5)


@requirement("BR-19")
async def test_while_the_manager_is_down_callers_see_the_last_known_state_and_the_clock(
    autojump_clock,
):
    system = brama.System(brama.Settings(when_down="last_known"))
    seen: list[str] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        circuit = system.circuit("api", failure_threshold=1, expiry=10.0)
        system.subscribe(inline(lambda event: seen.append(event.event)), events=["state_change"])
        circuit.failure()
        await trio.sleep(1)
        system.actors.backoff = brama.actors.Backoff(min=100.0, max=100.0)
        kill(system.actors.root)
        await trio.sleep(1)
        assert system.health().status == "degraded"
        assert circuit.try_acquire() is None
        await trio.sleep(9)
        circuit.try_acquire().success()
        assert circuit.state is brama.State.CLOSED
        assert seen == ["state_change"]
        await trio.sleep(100)
        assert seen == ["state_change"] * 3, "what happened meanwhile is told afterwards"
        system.stop()


def test_what_holds_while_the_manager_is_down_is_declared():
    assert brama.Settings().when_down == "last_known"
    with pytest.raises(brama.ConfigError, match="when_down must be one of last_known"):
        brama.Settings(when_down="refuse")
