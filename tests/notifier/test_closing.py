"""What ends, and what does not start any more: close, stop, kills, loops that go."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import trio

import brama
from brama.actors import BlockingActor, SystemStoppedError, kill
from brama.circuits import Event
from brama.notifier import HandlerActor, inline
from brama.notifier.bell import BELL
from brama.notifier.deliverers import HandlerSupervisor
from brama.notifier.entering import calls_handlers, wait_entered
from brama.notifier.workers import Workers

requirement = pytest.mark.requirement
WITHIN = 10.0


@pytest.fixture
def hasty():
    """Threads change as often as they can."""
    former = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(former)


@requirement("SB-06", "BR-17")
@pytest.mark.parametrize("kind", ["worker", "inline", "loop", "actor", "async actor"])
def test_nothing_begins_after_close_has_returned_however_threads_change(system, hasty, kind):
    circuit = system.circuit("search")
    stop = threading.Event()

    def traffic() -> None:
        while not stop.is_set():
            circuit.open_circuit()
            circuit.close_circuit()
            stop.wait(0.0002)

    busy = threading.Thread(target=traffic)
    busy.start()
    late: list[int] = []
    try:
        for _ in range(60):
            closed: list[bool] = []
            began = threading.Event()

            # What tells stands in the very first line of each: a call on the way to it would be a
            # part of an invocation that has begun.
            def handler(_event: Event, closed=closed, began=began) -> None:
                late.extend(closed)
                began.set()

            async def awaited(_event: Event, closed=closed, began=began) -> None:
                late.extend(closed)
                began.set()

            class Acting(HandlerActor):
                def on_event(self, _event: Event, closed=closed, began=began) -> None:
                    late.extend(closed)
                    began.set()

            class Awaiting(HandlerActor):
                async def on_event(self, _event: Event, closed=closed, began=began) -> None:
                    late.extend(closed)
                    began.set()

            given = {"worker": handler, "inline": inline(handler), "loop": awaited}.get(
                kind, Awaiting if kind == "async actor" else Acting
            )
            subscription = system.subscribe(given, events=["state_change"])
            assert began.wait(WITHIN)
            subscription.close()
            closed.append(True)
    finally:
        stop.set()
        busy.join()
    assert late == []


def test_a_thread_on_its_way_into_a_handler_is_waited_for():
    at_the_door, go, entered, leave = (threading.Event() for _ in range(4))

    @calls_handlers
    def deliver(handler) -> None:
        at_the_door.set()
        go.wait(WITHIN)
        handler()

    # What stands between the last look and the handler belongs to Brama; here, to a pretence of it.
    deliver.__globals__["__name__"], former = "brama.notifier.pretence", __name__
    try:

        def handler() -> None:
            entered.set()
            leave.wait(WITHIN)

        with ThreadPoolExecutor(2) as pool:
            running = pool.submit(deliver, handler)
            assert at_the_door.wait(WITHIN)
            ident = next(iter(pool._threads)).ident
            waiting = pool.submit(wait_entered, [ident], lambda: not leave.is_set())
            go.set()
            waiting.result(WITHIN)
            leave.set()
            running.result(WITHIN)
    finally:
        deliver.__globals__["__name__"] = former
    assert entered.is_set()


def test_a_stop_from_a_handler_on_the_loop_still_delivers_what_was_on_its_way(system, recorder):
    seen, stopped = recorder(), threading.Event()

    def stopping(_event: Event) -> None:
        system.circuit("second").open_circuit()
        system.stop()
        stopped.set()

    system.subscribe(inline(stopping), connection="first", events=["circuit_opened"])
    system.subscribe(inline(seen), connection="first", events=["circuit_opened"])
    system.start()
    system.circuit("first").open_circuit()
    assert stopped.wait(WITHIN)
    seen.wait(1)
    deadline = time.monotonic() + WITHIN
    while system.subscriptions() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert system.subscriptions() == ()


def test_a_stop_from_a_plain_handler_does_not_wait_for_that_handler():
    system = brama.System(brama.Settings(stop_timeout=60.0))
    stopped = threading.Event()

    def stopping(_event: Event) -> None:
        system.stop()
        stopped.set()

    system.subscribe(stopping, events=["circuit_opened"])
    system.circuit("search").open_circuit()
    assert stopped.wait(WITHIN)
    assert system.subscriptions() == ()


def test_a_stop_gives_up_a_handler_that_always_fails_as_its_supervisor_would(caplog):
    tried = []

    def failing(event: brama.Event) -> None:
        tried.append(event)
        raise ValueError("no network")

    with brama.System(brama.Settings()) as system:
        subscription = system.subscribe(failing, events=["state_change"])
        circuit = system.circuit("search")
        for _ in range(50):
            circuit.open_circuit()
            circuit.close_circuit()
    assert subscription.status().state == "quarantined"
    assert 11 <= len(tried) <= 22  # ten failures are allowed, here and while the tree was up
    told = [record for record in caplog.records if record.name == "brama.notifier"]
    assert sum(record.exc_info is not None for record in told) < 10
    assert "failed too often" in told[-1].getMessage()


def test_whoever_subscribes_after_a_stop_has_begun_is_told_so_and_starts_nothing(system, until):
    inside, go = threading.Event(), threading.Event()

    class Lingering(BlockingActor):
        def on_receive(self, _message: object) -> None:
            inside.set()
            go.wait(WITHIN)

    system.start()
    system.actors.spawn(Lingering).tell("linger")
    assert inside.wait(WITHIN)
    stopping = threading.Thread(target=system.stop, args=(WITHIN,))
    stopping.start()
    try:
        until(lambda: not system.actors.running)
        for _ in range(2):
            with pytest.raises(SystemStoppedError, match="is being stopped"):
                system.subscribe(print)
        assert system.subscriptions() == ()
    finally:
        go.set()
        stopping.join(WITHIN)
    with pytest.raises(SystemStoppedError, match="was stopped"):
        system.subscribe(print)
    assert system.actors.stopped


def test_whoever_subscribes_while_the_system_stops_is_told_so_or_ended(until):
    for _ in range(20):
        system = brama.System(brama.Settings())
        system.start()
        made: list[brama.Subscription] = []
        go = threading.Event()

        def subscribing(system=system, made=made, go=go) -> None:
            go.wait(WITHIN)
            try:
                while (
                    len(made) < 10_000
                ):  # where the loop gets no turn, they would hold up the stop
                    made.append(system.subscribe(lambda _event: None))
            except SystemStoppedError:
                pass

        thread = threading.Thread(target=subscribing)
        thread.start()
        go.set()
        system.stop()
        thread.join(WITHIN)
        assert not thread.is_alive()
        until(lambda made=made: all(one.closed for one in made))
        assert system.subscriptions() == ()


@requirement("SB-10")
@pytest.mark.parametrize("kind", ["loop", "actor"])
def test_a_killed_handler_that_shields_itself_is_not_joined_by_its_successor(system, until, kind):
    inside: list[int] = []
    together: list[int] = []
    seen: list[tuple[int, bool]] = []
    let_go = threading.Event()

    async def handle(event: Event) -> None:
        inside.append(1)
        together.append(len(inside))
        try:
            with trio.CancelScope(shield=True):
                while not let_go.is_set() and not seen:
                    await trio.sleep(0.001)
            seen.append((event.n, event.redelivered))
        finally:
            inside.pop()

    class Shielded(HandlerActor):
        async def on_event(self, event: Event) -> None:
            await handle(event)

    subscription = system.subscribe(
        handle if kind == "loop" else Shielded, events=["circuit_opened", "circuit_closed"]
    )
    system.circuit("search").open_circuit()
    until(lambda: bool(inside))
    left = subscription.deliverer
    # The one who would wait for the end of the handler is gone, too.
    kill(next(c.ref for c in system.actors.cells if c.ref.actor_class is HandlerSupervisor))
    until(lambda: subscription.deliverer is not left)
    subscription.tell(BELL)
    until(lambda: inside == [1])
    system.circuit("search").close_circuit()
    let_go.set()
    until(lambda: len(seen) == 2)
    assert together == [1, 1]
    assert seen == [(1, False), (2, False)]  # the first was finished after all


@requirement("SB-06")
@pytest.mark.parametrize("run", [asyncio.run, trio.run], ids=["asyncio", "trio"])
def test_the_end_of_a_loop_is_noticed_without_an_event(system, until, monkeypatch, run):
    monkeypatch.setattr("brama.notifier.deliverers.LOOK_EVERY", 0.01)

    async def main() -> brama.Subscription:
        async def handler(_event: Event) -> None: ...

        return system.subscribe(handler)

    made: list[brama.Subscription] = []

    async def keep() -> None:
        made.append(await main())

    run(keep() if run is asyncio.run else keep)
    until(lambda: made[0].closed)


class Listening(logging.Handler):
    """A user's log handler, which looks whether a lock is held while it runs."""

    def __init__(self, subscriptions: list[brama.Subscription]) -> None:
        super().__init__()
        self.subscriptions = subscriptions
        self.held: list[str] = []
        self.heard = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.heard += 1
        if any(one._lock.locked() for one in self.subscriptions):
            self.held.append(record.getMessage())


def test_a_log_line_about_a_dead_letter_is_written_without_a_lock(system, until):
    def failing(_event: Event) -> None:
        raise ValueError("boom")

    made = [system.subscribe(failing, events=["state_change"], max_redeliveries=0)]
    listening = Listening(made)
    logger = logging.getLogger("brama.notifier")
    logger.addHandler(listening)
    try:
        system.circuit("search").open_circuit()
        until(lambda: made[0].dropped == 1 and listening.heard >= 1)
    finally:
        logger.removeHandler(listening)
    assert listening.held == []


def test_jobs_that_hang_are_made_up_for_and_no_more_than_once_each(until):
    workers = Workers(limit=2, hangs=0.05)
    free = threading.Event()
    done: list[int] = []
    for _ in range(4):
        workers.submit(lambda: free.wait(WITHIN))
    workers.submit(lambda: done.append(1))
    until(lambda: len(workers._since) == 4)  # two that hang, and two that make up for them
    time.sleep(0.1)
    assert (len(workers._since), done) == (4, [])
    free.set()
    until(lambda: done == [1])
    until(lambda: not workers._since and not workers._crowded)


@requirement("DT-08")
def test_plain_handlers_that_all_hang_hold_up_no_other_for_long(until, monkeypatch):
    monkeypatch.setattr("brama.notifier.workers.LIMIT", 4)
    free, heard = threading.Event(), threading.Event()
    alarms: list[Event] = []

    def hanging(_event: Event) -> None:
        free.wait(WITHIN)

    with brama.System(brama.Settings()) as system:
        table = system._subscriptions
        table._workers = Workers(limit=4, hangs=0.05, on_hanging=table._alarms.hanging)
        system.subscribe(inline(alarms.append), events=["alarm"])
        for number in range(4):
            system.subscribe(partial(hanging), events=["circuit_opened"], backlog=number + 1)
        circuit = system.circuit("search")
        circuit.open_circuit()
        until(lambda: len(system._subscriptions._workers._since) == 4)
        system.subscribe(lambda _event: heard.set(), events=["circuit_closed"])
        circuit.close_circuit()
        assert heard.wait(WITHIN)
        until(lambda: [one.data["status"] for one in alarms] == ["failing", "recovered"])
        free.set()
    assert {one.data["subject"] for one in alarms} == {"workers"}
    assert hanging.__qualname__ in alarms[0].data["reason"]
    assert 0.05 <= alarms[0].data["since"] <= alarms[1].data["since"]


async def test_a_stream_awaited_with_a_time_gives_up_after_it(system):
    with system.events(events=["circuit_opened"]) as events:
        with pytest.raises(TimeoutError, match=r"no event within 0\.01 s"):
            await events.aget(0.01)
        system.circuit("search").open_circuit()
        with trio.fail_after(WITHIN):
            assert (await events.aget(WITHIN)).event == "circuit_opened"


def test_a_stream_awaited_on_asyncio_gives_up_after_its_time(system):
    async def main() -> None:
        with system.events(events=["circuit_opened"]) as events:
            with pytest.raises(TimeoutError, match="no event within"):
                await events.aget(0)
            system.circuit("search").open_circuit()
            assert (await events.aget(WITHIN)).event == "circuit_opened"

    asyncio.run(main())


async def test_taking_an_event_that_is_there_lets_others_run(system, until):
    with system.events(events=["state_change"]) as events:
        system.circuit("search").open_circuit()
        with trio.fail_after(WITHIN):
            while not events.subscription.queued:
                await trio.sleep(0.001)
        with trio.CancelScope() as scope:
            scope.cancel()
            await events.aget()
        assert scope.cancelled_caught
        assert events.subscription.queued == 1  # and loses nothing


@pytest.mark.parametrize("what", ["close", "astop"])
def test_an_async_handler_that_closes_from_a_thread_of_its_own_does_not_wait_for_itself(
    system, what
):
    async def main() -> Any:
        done = asyncio.get_running_loop().create_future()

        async def handler(_event: Event) -> None:
            if what == "close":
                done.set_result(await asyncio.to_thread(subscription.close, WITHIN))
            else:
                done.set_result((await system.astop(WITHIN)).complete)

        subscription = system.subscribe(handler, events=["circuit_opened"])
        system.circuit("search").open_circuit()
        return await asyncio.wait_for(done, WITHIN / 2)

    assert asyncio.run(main()) is False


class Cyclic:
    """Closes a subscription when the collector finds it."""

    def __init__(self, subscription: Any) -> None:
        self.itself = self
        self.subscription = subscription

    def __del__(self) -> None:
        self.subscription.close()


def test_a_finalizer_that_closes_a_subscription_while_another_begins_or_ends_hangs_nobody(
    system, until
):
    others: list[Any] = []

    def work() -> None:
        threshold = gc.get_threshold()
        try:
            for number in range(300):
                gc.disable()
                others.append(system.subscribe(lambda _event: None))
                Cyclic(others[-1])
                gc.set_threshold(1 + number % 60)  # at the first thing that is made, the second, …
                gc.enable()
                system.subscribe(lambda _event: None, events=["failure"]).close()
        finally:
            gc.set_threshold(*threshold)
            gc.enable()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(WITHIN)
    assert not thread.is_alive(), "it waits for itself"
    gc.collect()
    until(lambda: not system.subscriptions())
    assert all(one.closed for one in others)
    with system.subscribe(print):
        assert len(system.subscriptions()) == 1


def test_what_a_finalizer_ends_while_there_is_no_loop_is_gone_when_there_is_one(
    system, monkeypatch
):
    subscriptions = system._subscriptions
    ended = system.subscribe(print)
    with subscriptions.index.lock:  # as a finalizer finds it
        monkeypatch.setattr(subscriptions, "_call_soon", lambda *_: None)  # as without a loop
        ended.close()
    assert system.subscriptions() != ()
    subscriptions.adopt(subscriptions.supervisor)
    assert system.subscriptions() == ()


def test_subscribing_in_the_middle_of_a_change_of_the_subscriptions_is_refused(system):
    with (
        system._subscriptions.index.lock,  # as a finalizer finds it
        pytest.raises(brama.BramaError, match="a finalizer has tried to subscribe"),
    ):
        system.subscribe(print)
    assert system.subscriptions() == ()
