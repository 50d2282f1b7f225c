"""Handlers that get many events at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
import trio

import brama
from brama.circuits import Event, Severity
from brama.notifier import HandlerActor, Options, inline
from brama.notifier.batching import BatchingSubscription
from brama.notifier.journal.follower import WINDOW
from brama.notifier.target import Target

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


def on_asyncio(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 10))


def on_trio(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(10):
            await main()

    trio.run(bounded)


async def pause() -> None:
    await (trio.sleep(0.001) if trio.lowlevel.in_trio_run() else asyncio.sleep(0.001))


both = pytest.mark.parametrize("run", [on_asyncio, on_trio], ids=["asyncio", "trio"])


async def three_and_one(system: brama.System, given: Any, seen: Batches) -> brama.Subscription:
    """One list has been handled, and one event waits for its time."""
    subscription = system.subscribe(given, events=WANTED, batch=3, batch_age=60.0)
    flip(system, 2)
    while not seen.got or subscription.queued != 1:
        await pause()
    return subscription


@both
@requirement("SB-06", "SB-09")
def test_no_list_begins_after_a_close_on_the_loop_of_its_handler_and_what_is_lost_is_told(
    system, caplog, run
):
    seen = Batches()

    async def main() -> None:
        subscription = await three_and_one(system, seen.awaited, seen)
        subscription.close()
        assert subscription.closed
        for _ in range(20):
            await pause()

    run(main)
    assert seen.sizes == [3]
    assert "closed before its last list was handled; 1 events are dead letters" in caplog.text


@both
@requirement("SB-06", "SB-09")
def test_a_close_that_is_awaited_has_the_last_list_handled_first(system, run):
    seen = Batches()

    async def main() -> None:
        subscription = await three_and_one(system, seen.awaited, seen)
        assert await subscription.aclose() is True
        assert seen.sizes == [3, 1]
        flip(system)

    run(main)
    assert seen.sizes == [3, 1]


@both
def test_leaving_async_with_has_the_last_list_handled_first(system, run):
    seen = Batches()

    async def main() -> None:
        async with system.subscribe(seen.awaited, events=WANTED, batch=9, batch_age=60.0):
            flip(system)
            while system.subscriptions()[0].queued != 2:
                await pause()
        assert seen.sizes == [2]

    run(main)


@both
@requirement("SB-06")
def test_a_close_on_a_loop_still_has_a_worker_thread_handle_the_last_list(system, run):
    seen = Batches()

    async def main() -> None:
        subscription = await three_and_one(system, seen, seen)
        subscription.close()
        assert seen.sizes == [3, 1]

    run(main)


async def test_a_cancelled_aclose_still_ends_the_subscription(system):
    subscription = system.subscribe(Batches(), events=WANTED, batch=9, batch_age=60.0)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with subscription:
            flip(system)
    assert subscription.closed


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
    assert subscription.closed
    assert seen.sizes == [2]


def alone(**options: Any) -> BatchingSubscription:
    """One without a system."""
    return BatchingSubscription(1, Target(print, print, "h"), Options(**options))


def failure(number: int) -> Event:
    return Event(
        event="failure",
        connection="search",
        scope=None,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        monotonic=0.0,
        epoch=1,
        seq=None,
        event_id=f"id-{number}",
        severity=Severity.INFO,
        data={},
    )


def offered_until_full(subscription: BatchingSubscription) -> int:
    for number in range(1, 2_000):
        subscription.offer(failure(number))
        if subscription.lingers is None:
            return number
    raise AssertionError("no list is ever full")


@requirement("SB-09")
def test_a_list_longer_than_the_backlog_fills_without_a_loss():
    subscription = alone(batch=50, backlog=10, batch_age=60.0)
    assert offered_until_full(subscription) == 50
    for number in range(50):  # while the handler is on its way
        subscription.offer(failure(number))
    assert len(subscription.take()) == 50
    assert subscription.dropped == 0


def test_a_list_goes_out_before_so_many_wait_that_states_would_be_lost(monkeypatch):
    monkeypatch.setattr("brama.notifier.inbox.CRITICAL_BACKLOG", 20)
    assert offered_until_full(alone(batch=1_000, batch_age=60.0)) == 10


def test_a_list_from_the_journal_goes_out_before_that_waits_for_it_to_be_handled():
    subscription = alone(batch=1_000, batch_age=60.0, durable="pager")
    subscription.on_finished = lambda _n, _end, _tries: None
    assert offered_until_full(subscription) == WINDOW // 2
