"""Events to iterate over, in threads, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import trio
import trio.testing

import brama
from brama.actors import SystemStoppedError
from brama.notifier import SubscriptionClosed

requirement = pytest.mark.requirement
WITHIN = 10.0


def waiting(stream: brama.EventStream) -> bool:
    return bool(stream._wakers or stream._condition._waiters)


def test_a_thread_gets_the_events_in_order(system):
    circuit = system.circuit("search")
    with system.events(events=["circuit_opened", "circuit_closed"]) as events:
        circuit.open_circuit()
        circuit.close_circuit()
        found = [events.get(WITHIN), events.get(WITHIN)]
    assert [(e.event, e.n, e.redelivered) for e in found] == [
        ("circuit_opened", 1, False),
        ("circuit_closed", 2, False),
    ]


def test_a_stream_sees_nothing_that_was_before_it(system):
    circuit = system.circuit("search")
    circuit.open_circuit("before")
    with system.events(events=["state_change"]) as events:
        circuit.close_circuit("after")
        assert events.get(WITHIN).data["reason"] == "after"


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_waiting_ends_with_its_time(system, timeout):
    with system.events() as events, pytest.raises(TimeoutError, match="no event within"):
        events.get(timeout)


@requirement("SB-06")
def test_close_wakes_a_thread_that_waits_and_ends_its_loop(system, until):
    events, ended = system.events(), threading.Event()

    def consume() -> None:
        for _event in events:
            pass
        ended.set()

    consumer = threading.Thread(target=consume)
    consumer.start()
    until(lambda: waiting(events))
    events.close()
    assert ended.wait(WITHIN)
    consumer.join()
    with pytest.raises(SubscriptionClosed):
        events.get(0)


@requirement("SB-06")
def test_a_stop_of_the_system_ends_its_streams(system, until):
    events = system.events()
    ended = threading.Thread(target=lambda: list(events))
    ended.start()
    until(lambda: waiting(events))
    system.stop()
    ended.join(WITHIN)
    assert not ended.is_alive()


def test_what_a_closed_stream_had_waiting_is_gone(system, until):
    circuit = system.circuit("search")
    events = system.events(events=["circuit_opened"])
    circuit.open_circuit()
    until(lambda: events.subscription.queued == 1)
    events.close()
    assert list(events) == []


def test_an_event_is_handed_out_at_most_once(system):
    circuit = system.circuit("search")
    with system.events(events=["state_change"]) as events:
        circuit.open_circuit()
        for event in events:
            assert event.data["new_state"] is brama.State.OPEN
            break  # whatever becomes of the consumer, this one does not come again
        circuit.close_circuit()
        assert events.get(WITHIN).data["new_state"] is brama.State.CLOSED


def test_what_was_handed_out_is_delivered_and_no_dead_letter(system, caplog):
    events = system.events(events=["circuit_opened"])
    system.circuit("search").open_circuit()
    events.get(WITHIN)
    assert (events.subscription.queued, events.subscription.delivered) == (0, 1)
    system.stop()
    assert "dead letter" not in caplog.text


def test_a_stream_on_asyncio(system):
    async def main() -> list[str]:
        names = []
        async with system.events(events=["circuit_opened", "circuit_closed"]) as events:
            circuit = system.circuit("search")
            circuit.open_circuit()
            circuit.close_circuit()
            async for event in events:
                names.append(event.event)
                if len(names) == 2:
                    break
        return names

    assert asyncio.run(asyncio.wait_for(main(), WITHIN)) == ["circuit_opened", "circuit_closed"]


def test_a_wait_on_asyncio_that_was_given_up_loses_no_event(system, until):
    async def main() -> brama.Event:
        async with system.events(events=["circuit_opened"]) as events:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(events.aget(), 0.01)
            assert events._wakers == []
            system.circuit("search").open_circuit()
            return await asyncio.wait_for(events.aget(), WITHIN)

    assert asyncio.run(main()).n == 1


@requirement("SB-06")
def test_close_wakes_a_task_on_asyncio(system, until):
    events = system.events()

    async def main() -> list[brama.Event]:
        return [event async for event in events]

    def close() -> None:
        until(lambda: waiting(events))
        events.close()

    closing = threading.Thread(target=close)
    closing.start()
    assert asyncio.run(asyncio.wait_for(main(), WITHIN)) == []
    closing.join()


async def test_a_stream_on_trio(system):
    names = []
    with trio.fail_after(WITHIN):
        async with system.events(events=["circuit_opened", "circuit_closed"]) as events:
            circuit = system.circuit("search")
            circuit.open_circuit()
            circuit.close_circuit()
            async for event in events:
                names.append(event.event)
                if len(names) == 2:
                    break
    assert names == ["circuit_opened", "circuit_closed"]


async def test_a_wait_on_trio_that_was_cancelled_loses_no_event(system):
    with system.events(events=["circuit_opened"]) as events:
        with trio.move_on_after(0.01) as scope:
            await events.aget()
        assert scope.cancelled_caught
        assert events._wakers == []
        system.circuit("search").open_circuit()
        with trio.fail_after(WITHIN):
            assert (await events.aget()).n == 1


async def test_close_wakes_a_task_on_trio(system):
    events = system.events()
    with trio.fail_after(WITHIN):
        async with trio.open_nursery() as nursery:

            async def consume() -> None:
                async for _event in events:
                    raise AssertionError("there is none")

            nursery.start_soon(consume)
            await trio.testing.wait_all_tasks_blocked()
            events.close()


def test_a_stream_of_a_stopped_system_is_refused(system):
    system.stop()
    began = time.monotonic()
    with pytest.raises(SystemStoppedError, match="was stopped"):
        system.events()
    assert time.monotonic() - began < 5


def test_two_threads_that_wait_for_one_event_each_both_get_one(system, until):
    got: list[int] = []
    with system.events(events=["state_change"]) as events:
        threads = [
            threading.Thread(target=lambda: got.append(events.get(WITHIN).n)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        until(lambda: len(events._condition._waiters) == 2)
        system.circuit("search").open_circuit()
        system.circuit("search").close_circuit()
        for thread in threads:
            thread.join(WITHIN)
    assert sorted(got) == [1, 2]


def test_threads_that_share_a_stream_get_each_event_once_and_all_end_with_it(system, until):
    got: list[int] = []
    with system.events(events=["state_change"]) as events:

        def eat() -> None:
            got.extend(event.n for event in events)

        threads = [threading.Thread(target=eat) for _ in range(4)]
        for thread in threads:
            thread.start()
        circuit = system.circuit("search")
        for _ in range(300):
            circuit.open_circuit()
            circuit.close_circuit()
        until(lambda: events.subscription.delivered == 600)
    for thread in threads:
        thread.join(WITHIN)
        assert not thread.is_alive()
    assert sorted(got) == list(range(1, 601))


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_tasks_that_share_a_stream_get_each_event_once_and_all_end_with_it(system, loop):
    got: list[int] = []

    async def eat(events: brama.EventStream) -> None:
        got.extend([event.n async for event in events])

    async def feed(events: brama.EventStream) -> None:
        circuit = system.circuit("search")
        for _ in range(20):
            circuit.open_circuit()
            await (asyncio.sleep(0) if loop == "asyncio" else trio.sleep(0))
            circuit.close_circuit()
        while events.subscription.delivered < 40:
            await (asyncio.sleep(0.001) if loop == "asyncio" else trio.sleep(0.001))
        events.close()

    async def on_asyncio() -> None:
        with system.events(events=["state_change"]) as events:
            async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as tasks:
                for task in (eat, eat, eat, feed):
                    tasks.create_task(task(events))

    async def on_trio() -> None:
        with system.events(events=["state_change"]) as events:
            with trio.fail_after(WITHIN):
                async with trio.open_nursery() as nursery:
                    for task in (eat, eat, eat, feed):
                        nursery.start_soon(task, events)

    if loop == "asyncio":
        asyncio.run(on_asyncio())
    else:
        trio.run(on_trio)
    assert sorted(got) == list(range(1, 41))


def test_a_consumer_that_is_cancelled_leaves_what_rang_to_the_others(system):
    async def main() -> None:
        with system.events(events=["circuit_opened"]) as events:
            for _ in range(30):
                system.circuit("search").open_circuit()
                system.circuit("search").close_circuit()
                with trio.move_on_after(0.0005):
                    await events.aget()
                    continue
                with trio.fail_after(WITHIN):
                    await trio.to_thread.run_sync(events.get, 5.0)
            assert events.subscription.delivered == 30

    trio.run(main)
