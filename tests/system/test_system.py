"""The life of a system: lazy, isolated, bounded; in threads, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
import trio
import trio.testing

import brama
from brama.actors import ActorSystem, BlockingActor, HostError, SystemStoppedError
from brama.notifier import HandlerActor, inline

requirement = pytest.mark.requirement
WITHIN = 10.0


def loops() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.endswith("-loop")]


def test_nothing_starts_before_it_is_needed(until):
    system = brama.System(brama.Settings(), name="lazy")
    try:
        circuit = system.circuit("search", failure_threshold=2)
        circuit.call(lambda: None)
        circuit.failure()
        assert (system.health().status, circuit.available()) == ("idle", True)
        assert "lazy-loop" not in loops()
        assert system.tree().status == "idle"
        circuit.failure()  # it opens: somebody has to watch the clock
        until(lambda: "lazy-loop" in loops())
    finally:
        system.stop()
    assert "lazy-loop" not in loops()


def test_what_happened_before_the_thread_ran_reaches_who_subscribed_before(until):
    system = brama.System(brama.Settings())
    seen, there = [], threading.Event()
    try:
        system.subscribe(
            inline(lambda event: (seen.append(event.seq), there.set())), events=["state_change"]
        )
        system.circuit("search").open_circuit()
        assert there.wait(WITHIN)
        assert seen == [1]
    finally:
        system.stop()


@requirement("actors:ordered-shutdown")
def test_stop_is_bounded_and_idempotent(system):
    stuck, free = threading.Event(), threading.Event()

    def blocks(_event) -> None:
        stuck.set()
        free.wait(WITHIN)

    system.subscribe(blocks, events=["state_change"])
    system.circuit("search").open_circuit()
    assert stuck.wait(WITHIN)
    began = time.monotonic()
    try:
        system.stop(timeout=0.5)
        system.stop(timeout=0.5)
        assert time.monotonic() - began < 4
        assert system.subscriptions() == ()
    finally:
        free.set()


def test_a_system_that_never_ran_can_be_stopped():
    system = brama.System(brama.Settings())
    assert system.stop().complete
    assert system.stop().complete


def test_after_stop_circuits_protect_and_subscribing_is_a_clear_error(system):
    circuit = system.circuit("search", failure_threshold=1)
    subscription = system.subscribe(print)
    system.stop()
    assert subscription.closed
    circuit.failure()
    with pytest.raises(brama.CircuitOpenError):
        circuit.call(lambda: None)
    assert system.circuit("other").call(lambda: "served") == "served"
    with pytest.raises(SystemStoppedError, match="brama was stopped: call start"):
        system.subscribe(print)


def test_a_system_that_is_started_again_takes_up_its_circuits(system, until):
    circuit = system.circuit("search", expiry=0.01)
    system.start()
    system.stop()
    circuit.open_circuit()
    system.start()
    seen, there = [], threading.Event()
    system.subscribe(
        inline(lambda event: (seen.append(event), there.set())), events=["state_change"]
    )
    circuit.close_circuit()
    assert there.wait(WITHIN)


@requirement("actors:systems")
def test_systems_are_isolated():
    one, two = (brama.System(brama.Settings(failure_threshold=n), name=f"s{n}") for n in (1, 2))
    seen: dict[str, list[str]] = {"one": [], "two": []}
    there = threading.Event()
    try:
        one.subscribe(inline(lambda e: seen["one"].append(e.event)), events=["circuit_opened"])
        two.subscribe(
            inline(lambda e: (seen["two"].append(e.event), there.set())), events=["circuit_opened"]
        )
        one.circuit("search")
        two.circuit("search")
        one.find("search").failure()
        two.find("search").failure()
        assert (one.find("search").available(), two.find("search").available()) == (False, True)
        one.stop()
        two.find("search").failure()
        assert there.wait(WITHIN)
        assert seen == {"one": ["circuit_opened"], "two": ["circuit_opened"]} or seen["one"] == []
        assert len(seen["two"]) == 1
        assert two.health().status == "ok"
    finally:
        one.stop()
        two.stop()


def test_a_with_block_starts_and_stops():
    with brama.System(brama.Settings()) as system:
        assert system.health().status == "ok"
        assert [node.id for node in system.tree().children] == [
            "subscribers",
            "registry",
            "circuits",
        ]
    assert system.health().status == "stopped"


def test_an_async_with_block_on_asyncio():
    async def main() -> None:
        async with brama.System(brama.Settings()) as system:
            assert system.health().status == "ok"
            async with system.events(events=["circuit_opened"]) as events:
                system.circuit("search").open_circuit()
                assert (await events.aget()).n == 1
        assert system.health().status == "stopped"

    asyncio.run(asyncio.wait_for(main(), WITHIN))


@requirement("actors:embedding")
async def test_an_async_with_block_on_trio():
    with trio.fail_after(WITHIN):
        async with brama.System(brama.Settings()) as system:
            assert system.health().status == "ok"
        assert system.health().status == "stopped"


@requirement("BR-R05", "BR-R06", "actors:embedding")
async def test_under_a_virtual_clock_circuits_follow_it_without_traffic(autojump_clock):
    system = brama.System(brama.Settings())
    began = time.monotonic()
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        circuit = system.circuit("search", expiry=3600)
        changed, seen = trio.Event(), []

        async def handler(event) -> None:
            await trio.lowlevel.checkpoint()
            seen.append((event.event, trio.current_time()))
            changed.set()

        system.subscribe(handler, events=["circuit_half_opened"])
        at = trio.current_time()
        circuit.open_circuit()
        assert not circuit.available()
        await changed.wait()
        assert [name for name, _at in seen] == ["circuit_half_opened"]
        assert seen[0][1] - at == pytest.approx(3600, abs=1)
        assert circuit.available()
        system.stop()
    assert time.monotonic() - began < WITHIN
    assert system.subscriptions() == ()


async def test_a_system_cannot_run_twice():
    system = brama.System(brama.Settings())
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        subscription = system.subscribe(print)
        with pytest.raises(SystemStoppedError, match="is running already"):
            await system.run()
        assert not subscription.closed
        system.stop()


async def test_cancelling_run_ends_the_system_in_order():
    system = brama.System(brama.Settings())
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        subscription = system.subscribe(print)
        nursery.cancel_scope.cancel()
    assert subscription.closed
    assert system.health().status == "stopped"


def test_a_system_is_described_in_a_line(system):
    system.circuit("search")
    assert repr(system) == "<System 'brama', 1 circuits>"


def test_stop_names_a_handler_that_goes_on_after_all():
    system = brama.System(brama.Settings())
    began, free = threading.Event(), threading.Event()

    def hangs(_event: brama.Event) -> None:
        began.set()
        free.wait(10)

    system.subscribe(hangs, events=["circuit_opened"])
    system.circuit("search").open_circuit()
    assert began.wait(10)
    report = system.stop(timeout=0.3)  # enough for all else to end, on a busy machine, too
    free.set()
    assert not report.complete
    assert [name.rpartition(".")[2] for name in report.unstoppable] == ["hangs"]
    assert report.elapsed >= 0.3  # what it has waited for the handler is part of it


def test_stop_names_a_handler_actor_whose_thread_goes_on_after_all():
    began, free = threading.Event(), threading.Event()

    class Pager(HandlerActor):
        def on_event(self, event: brama.Event) -> None:
            began.set()
            free.wait(10)

    system = brama.System(brama.Settings())
    system.subscribe(Pager, events=["circuit_opened"])
    system.circuit("search").open_circuit()
    assert began.wait(10)
    report = system.stop(timeout=0.3)
    free.set()
    assert not report.complete
    assert [name.rpartition(".")[2] for name in report.unstoppable] == ["Pager"]


def test_a_stop_may_be_given_no_time_and_goes_on(until):
    system = brama.System(brama.Settings())
    system.start()
    system.stop(timeout=0)
    until(lambda: system.health().status == "stopped")
    with pytest.raises(brama.ConfigError, match=r"timeout .* got: datetime.timedelta\(days=-1"):
        system.stop(timeout=timedelta(seconds=-1))


def test_run_outside_of_trio_says_how_it_is_run():
    system = brama.System(brama.Settings())
    with pytest.raises(HostError, match=r"trio\.run\(system\.run\).*async with system"):
        asyncio.run(system.run())
    with system:
        assert system.health().status == "ok"


def test_a_system_without_a_name_makes_no_journal(tmp_path):
    with pytest.raises(brama.ConfigError, match="name must be"):
        brama.System(brama.Settings(), name=" ", journal=tmp_path / "journal.sqlite")
    assert not list(tmp_path.iterdir())


class Stopping(HandlerActor):
    """Stops the system that tells it of an event, as a handler of a fatal one would."""

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()
        self.stop_it = stop

    def on_event(self, _event: brama.Event) -> None:
        self.stop_it()


class StoppingThread(BlockingActor):
    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()
        self.stop_it = stop

    def on_receive(self, _message: object) -> None:
        self.stop_it()


@pytest.mark.parametrize("kind", ["function", "handler actor", "blocking actor"])
def test_whoever_stops_the_system_in_its_handler_does_not_wait_for_himself(kind, until):
    system = brama.System(brama.Settings(stop_timeout=60.0))
    reports = []

    def stop() -> None:
        reports.append(system.stop())

    if kind == "function":
        handler: object = lambda _event: stop()  # noqa: E731 - one of three
    elif kind == "handler actor":
        handler = partial(Stopping, stop)
    else:
        handler = system.actors.start().spawn(StoppingThread, stop)
    system.subscribe(handler, events=["circuit_opened"])
    began = time.monotonic()
    system.circuit("search").open_circuit()
    until(lambda: bool(reports) and not system.actors.running and not system.subscriptions())
    assert time.monotonic() - began < WITHIN
    assert [(report.complete, report.killed) for report in reports] == [(False, ())]


def test_an_actor_system_that_a_blocking_actor_of_its_own_stops_does_not_wait_for_it(until):
    actors = ActorSystem("own", stop_timeout=60.0).start()
    reports = []
    actors.spawn(StoppingThread, lambda: reports.append(actors.stop())).tell("stop")
    until(lambda: bool(reports) and not actors.running)
    assert not reports[0].complete
    assert actors.stop().complete
