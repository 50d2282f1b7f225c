"""Handlers that get many events at a time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import trio

import brama
from brama.circuits import Event
from brama.notifier import HandlerActor, inline

requirement = pytest.mark.requirement
WANTED = ["state_change"]


def flip(system: brama.System, times: int = 1) -> None:
    circuit = system.circuit("search")
    for _ in range(times):
        circuit.open_circuit()
        circuit.close_circuit()


class Batches:
    """A handler that keeps the lists that it got."""

    def __init__(self) -> None:
        self.got: list[list[Event]] = []

    def __call__(self, batch: list[Event]) -> None:
        self.got.append(list(batch))

    async def awaited(self, batch: list[Event]) -> None:
        self(batch)

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.got]

    @property
    def numbers(self) -> list[int]:
        return [event.n for batch in self.got for event in batch]


def handler(kind: str, seen: Batches) -> Any:
    if kind == "actor":

        class Keeping(HandlerActor):
            def on_event(self, event: Any) -> None:
                seen(event)

        return Keeping
    if kind == "async actor":

        class Awaiting(HandlerActor):
            async def on_event(self, event: Any) -> None:
                seen(event)

        return Awaiting
    return {"worker": seen, "inline": inline(seen), "loop": seen.awaited}[kind]


@requirement("SB-09")
@pytest.mark.parametrize("kind", ["worker", "inline", "loop", "actor"])
def test_full_batches_go_out_in_order_and_the_rest_when_it_is_closed(system, until, kind):
    seen = Batches()
    subscription = system.subscribe(handler(kind, seen), events=WANTED, batch=4, batch_age=60.0)
    flip(system, 5)
    until(lambda: sum(seen.sizes) >= 8)
    until(lambda: subscription.queued == 2)
    subscription.close()
    assert seen.sizes == [4, 4, 2]
    assert seen.numbers == list(range(1, 11))
    assert [event.seq for batch in seen.got for event in batch] == list(range(1, 21, 2))
    assert subscription.delivered == 10
    flip(system)
    assert seen.sizes == [4, 4, 2]


@requirement("SB-09")
@pytest.mark.parametrize("kind", ["inline", "loop", "async actor"])
async def test_what_fills_no_batch_goes_out_when_its_time_has_come(autojump_clock, kind):
    seen = Batches()
    system = brama.System(brama.Settings())
    async with trio.open_nursery() as nursery:
        await nursery.start(system.run)
        # Subscribed from elsewhere, so that an async one belongs to the system.
        await trio.to_thread.run_sync(
            lambda: system.subscribe(handler(kind, seen), events=WANTED, batch=10, batch_age=3.0)
        )
        await trio.sleep(0.1)
        system.circuit("search").open_circuit()
        await trio.sleep(2.0)
        assert seen.sizes == []
        system.circuit("search").close_circuit()
        await trio.sleep(1.5)
        assert seen.sizes == [2]  # the age of the first counts
        system.circuit("search").open_circuit()
        await trio.sleep(2.0)
        assert seen.sizes == [2]
        await trio.sleep(1.5)
        assert seen.sizes == [2, 1]
        system.stop()


@requirement("SB-09", "SB-10")
def test_a_batch_over_which_the_handler_fails_comes_again_as_a_whole(system, until):
    seen = Batches()

    def failing(batch: list[Event]) -> None:
        seen(batch)
        if len(seen.got) == 1:
            raise ValueError("boom")

    subscription = system.subscribe(failing, events=WANTED, batch=2)
    flip(system, 2)
    until(lambda: len(seen.got) == 3)
    assert [[event.n for event in batch] for batch in seen.got] == [[1, 2], [1, 2], [3, 4]]
    assert [[event.redelivered for event in batch] for batch in seen.got] == [
        [False, False],
        [True, True],
        [False, False],
    ]
    until(lambda: subscription.delivered == 4)
    assert subscription.failures == 1


def test_a_batch_is_given_up_when_it_has_failed_too_often(system, until, caplog):
    def failing(_batch: list[Event]) -> None:
        raise ValueError("boom")

    subscription = system.subscribe(failing, events=WANTED, batch=2, max_redeliveries=1)
    flip(system)
    until(lambda: subscription.dropped == 2)
    assert subscription.failures == 2
    # Logged once nobody holds the lock, and so after it is counted.
    until(lambda: "a batch of 2 events from" in caplog.text)


def test_a_filter_chooses_what_is_in_a_batch(system, until):
    seen = Batches()
    subscription = system.subscribe(
        seen, events=WANTED, batch=2, filter=lambda event: event.data["new_state"] == "open"
    )
    flip(system, 4)
    until(lambda: subscription.delivered == 4)
    assert seen.numbers == [1, 2, 3, 4]


def test_asyncio_handlers_get_batches_and_a_close_on_the_loop_flushes_behind_it(system):
    seen = Batches()

    async def main() -> None:
        subscription = system.subscribe(seen.awaited, events=WANTED, batch=3, batch_age=60.0)
        flip(system, 2)
        while not seen.got or subscription.queued != 1:
            await asyncio.sleep(0.001)
        subscription.close()
        while not subscription.closed:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(main(), 10))
    assert seen.sizes == [3, 1]


def test_a_handler_may_close_its_batching_subscription(system, until):
    done = threading.Event()
    seen = Batches()

    def closing(batch: list[Event]) -> None:
        seen(batch)
        subscription.close(wait=True)
        done.set()

    subscription = system.subscribe(closing, events=WANTED, batch=2, batch_age=60.0)
    flip(system)
    assert done.wait(10)
    until(lambda: subscription.closed)
    assert seen.sizes == [2]
