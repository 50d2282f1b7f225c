"""What happened before a stop, or the exit, comes to handlers before it is over."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import trio

import brama
from brama.actors import WouldBlockError
from brama.notifier import HandlerActor

OPENED_CLOSED = ["circuit_opened", "circuit_closed"]


def test_a_stop_waits_for_what_waits_for_a_slow_handler():
    seen: list[int | None] = []

    def slow(event: brama.Event) -> None:
        time.sleep(0.0005)
        seen.append(event.n)

    with brama.System() as system:
        system.subscribe(slow, events=OPENED_CLOSED)
        search = system.circuit("search")
        for _ in range(200):
            search.open_circuit()
            search.close_circuit()

    assert seen == list(range(1, 401))


def test_a_handler_that_fails_while_the_system_stops_gets_the_event_again():
    seen: list[tuple[str, bool]] = []
    begun, stopping = threading.Event(), threading.Event()

    def flaky(event: brama.Event) -> None:
        seen.append((event.event, event.redelivered))
        begun.set()
        if len(seen) == 1:
            stopping.wait(10)
            raise ConnectionError

    system = brama.System()
    system.subscribe(flaky, events=OPENED_CLOSED)
    search = system.circuit("search")
    search.open_circuit()
    search.close_circuit()
    assert begun.wait(10)
    stop = threading.Thread(target=system.stop)
    stop.start()
    while system.actors.running:
        time.sleep(0.001)
    stopping.set()
    stop.join(10)

    assert seen == [("circuit_opened", False), ("circuit_opened", True), ("circuit_closed", False)]


def test_what_a_handler_never_takes_is_left_at_the_end_of_the_stop_and_the_handler_named():
    hangs, begun = threading.Event(), threading.Event()
    seen: list[str] = []

    def hang(event: brama.Event) -> None:
        seen.append(event.event)
        begun.set()
        hangs.wait(30)

    system = brama.System()
    system.subscribe(hang, events=OPENED_CLOSED)
    search = system.circuit("search")
    search.open_circuit()
    search.close_circuit()
    assert begun.wait(10)
    began = time.monotonic()
    report = system.stop(timeout=0.3)
    assert time.monotonic() - began < 2
    assert not report.complete
    assert "hang" in str(report.unstoppable)
    hangs.set()

    assert seen == ["circuit_opened"]


def test_handlers_on_the_loop_of_the_caller_are_waited_for_while_it_goes_on():
    seen: list[str] = []

    async def handler(event: brama.Event) -> None:
        await asyncio.sleep(0.001)
        seen.append(event.event)

    async def main() -> None:
        async with brama.System() as system:
            system.subscribe(handler, events=OPENED_CLOSED)
            search = system.circuit("search")
            for _ in range(5):
                search.open_circuit()
                search.close_circuit()

    asyncio.run(main())

    assert seen == OPENED_CLOSED * 5


def test_a_stop_that_holds_up_the_loop_of_a_handler_does_not_wait_for_it():
    async def handler(event: brama.Event) -> None:
        await asyncio.sleep(3600)

    async def main() -> float:
        begun = asyncio.Event()

        async def first(event: brama.Event) -> None:
            begun.set()

        system = brama.System()
        system.subscribe(handler, events=OPENED_CLOSED)
        system.subscribe(first, events=OPENED_CLOSED)
        system.circuit("search").open_circuit()
        await asyncio.wait_for(begun.wait(), 10)
        began = time.monotonic()
        system.stop(timeout=4.0)
        return time.monotonic() - began

    assert asyncio.run(main()) < 2


@pytest.mark.parametrize("subscribed", ["class", "ref"])
def test_a_stop_in_a_plain_on_event_does_not_wait_for_itself(subscribed):
    answers: list[object] = []
    over = threading.Event()

    class Stopping(HandlerActor):
        def on_event(self, event: brama.Event) -> None:
            try:
                self.actor_ref.ask("how are you", timeout=60.0)
            except WouldBlockError as error:
                answers.append(type(error))
            answers.append(system.stop(timeout=60.0).complete)
            over.set()

    system = brama.System()
    system.start()
    given = Stopping if subscribed == "class" else system.actors.spawn(Stopping)
    system.subscribe(given, events=["circuit_opened"])
    system.circuit("search").open_circuit()

    assert over.wait(10)
    assert answers == [WouldBlockError, False]


def test_a_handler_actor_has_had_everything_when_a_stop_is_over():
    seen: list[str] = []

    class Slow(HandlerActor):
        def on_event(self, event: brama.Event) -> None:
            time.sleep(0.0005)
            seen.append(event.event)

    with brama.System() as system:
        system.subscribe(Slow, events=OPENED_CLOSED)
        search = system.circuit("search")
        for _ in range(20):
            search.open_circuit()
            search.close_circuit()

    assert seen == OPENED_CLOSED * 20


def test_in_a_loop_of_the_host_a_slow_handler_has_had_everything_when_run_is_over():
    seen: list[str] = []
    begun = threading.Event()

    def slow(event: brama.Event) -> None:
        begun.set()
        time.sleep(0.01)
        seen.append(event.event)

    async def main() -> None:
        system = brama.System()
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            system.subscribe(slow, events=OPENED_CLOSED)
            search = system.circuit("search")
            for _ in range(5):
                search.open_circuit()
                search.close_circuit()
            await trio.to_thread.run_sync(begun.wait, 10)
            system.stop()

    trio.run(main)

    assert seen == OPENED_CLOSED * 5


def test_what_is_durable_does_not_hold_up_the_stop_and_comes_the_next_time(tmp_path):
    journal = f"sqlite:///{tmp_path}/events.sqlite"
    seen: list[tuple[int, str]] = []
    begun, done = threading.Event(), threading.Event()

    def slow(event: brama.Event) -> None:
        seen.append((life, event.event))
        begun.set()
        if event.event == "circuit_closed":
            done.set()
        elif life == 1:
            time.sleep(0.05)

    life = 1
    with brama.System(journal=journal) as system:
        system.subscribe(slow, events=OPENED_CLOSED, durable="slow")
        search = system.circuit("search")
        for _ in range(20):
            search.open_circuit("again")
            search.reset_circuit()
        search.open_circuit()
        search.close_circuit()
        assert begun.wait(10)
    assert len(seen) < 22
    life = 2
    with brama.System(journal=journal) as system:
        system.subscribe(slow, events=OPENED_CLOSED, durable="slow")
        assert done.wait(10)

    assert seen[-1] == (2, "circuit_closed")
    assert len(seen) >= 22


@pytest.mark.parametrize("last", ["", "brama.default_system().stop()"], ids=["exit", "stop"])
def test_a_handler_that_is_at_work_at_the_end_of_the_process_finishes(new_python, last):
    done = new_python(
        f"""
import time, brama
def page(event):
    time.sleep(0.1)
    print(event.event, flush=True)
brama.subscribe(page, events=["circuit_*"])
circuit = brama.circuit("search")
circuit.open_circuit()
circuit.close_circuit()
{last}
"""
    )
    assert (done.stdout, done.stderr) == ("circuit_opened\ncircuit_closed\n", "")
