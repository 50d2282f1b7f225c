"""Who may receive events beside functions: actors, refs, channels and queues."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import Any

import pykka
import pytest
import trio

import brama
from brama.actors import Actor, BlockingActor, InlineActor
from brama.circuits import Event
from brama.notifier import HandlerActor
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
WITHIN = 10.0
WANTED = ["state_change"]


def flip(system: brama.System, times: int = 1) -> None:
    circuit = system.circuit("search")
    for _ in range(times):
        circuit.open_circuit()
        circuit.close_circuit()


def listening(base: type, seen: Any) -> type:
    """An actor of this kind that subscribes itself as it starts."""

    def keep(self: Any, message: Any) -> str:
        seen(message)
        return "heard"

    async def akeep(self: Any, message: Any) -> str:
        return keep(self, message)

    def start(self: Any) -> None:
        self.subscription = brama.subscribe(events=WANTED)

    async def astart(self: Any) -> None:
        start(self)

    hooks = (astart, akeep) if base is Actor else (start, keep)
    return type("Listening", (base,), {"on_start": hooks[0], "on_receive": hooks[1]})


@pytest.fixture
def default(system):
    from brama.default import replace_default

    former = replace_default(system)
    yield system
    replace_default(former)


@requirement("SB-07")
@pytest.mark.parametrize("base", [Actor, InlineActor, BlockingActor, pykka.ThreadingActor])
def test_an_actor_subscribes_itself_and_receives_the_event_itself(default, recorder, until, base):
    seen = recorder()
    ref = listening(base, seen).start()
    try:
        until(lambda: len(default.subscriptions()) == 1)
        flip(default)
        events = seen.wait(2)
        assert [type(event) for event in events] == [Event, Event]
        assert [event.n for event in events] == [1, 2]
        assert "Listening" in default.subscriptions()[0].name
    finally:
        ref.stop()


@requirement("SB-07")
@pytest.mark.parametrize("base", [InlineActor, pykka.ThreadingActor])
def test_a_dead_ref_ends_its_subscription(system, recorder, until, base):
    ref = type("Quiet", (base,), {"on_receive": lambda self, message: None}).start()
    subscription = system.subscribe(ref, events=WANTED)
    assert system.subscribe(ref, events=WANTED) is subscription
    ref.stop()
    flip(system)
    until(lambda: subscription.closed)
    assert system.subscriptions() == ()
    with pytest.raises(ConfigError, match="an actor that lives"):
        system.subscribe(ref)


def test_the_end_of_an_actor_is_noticed_before_the_next_event(system, until):
    ref = type("Quiet", (InlineActor,), {"on_receive": lambda self, message: None}).start()
    subscription = system.subscribe(ref)
    ref.stop()
    until(lambda: subscription.closed)


def test_the_subscriptions_of_an_actor_are_its_own(default, recorder, until):
    seen = recorder()
    ref = listening(InlineActor, seen).start()
    try:
        until(lambda: len(default.subscriptions()) == 1)
        assert brama.unsubscribe() == 0
        mine = brama.subscribe(print)
        assert brama.unsubscribe() == 1
        assert mine.closed
        assert len(default.subscriptions()) == 1
    finally:
        ref.stop()


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_a_handler_actor_may_subscribe_itself_to_more(default, recorder, until, colour):
    seen = recorder()
    told = threading.Event()

    class Widening(HandlerActor):
        def on_event(self, event: Event) -> None:
            seen(event)
            if event.event == "state_change" and not told.is_set():
                brama.subscribe(events=["circuit_closed"])
                told.set()

    class AsyncWidening(Widening):
        async def on_event(self, event: Event) -> None:
            super().on_event(event)

    cls = Widening if colour == "plain" else AsyncWidening
    default.subscribe(cls, events=WANTED)
    circuit = default.circuit("search")
    circuit.open_circuit()
    assert told.wait(WITHIN)
    circuit.close_circuit()
    seen.wait_until(lambda events: "circuit_closed" in [event.event for event in events])


@requirement("SB-07")
async def test_a_trio_channel_receives_and_its_end_ends_the_subscription(system, until):
    send, receive = trio.open_memory_channel[Event](1)
    subscription = system.subscribe(send, events=WANTED)
    flip(system, 3)
    with trio.fail_after(WITHIN):
        got = [await receive.receive() for _ in range(6)]
        assert [event.seq for event in got] == [1, 3, 5, 7, 9, 11]
        receive.close()
        flip(system)
        while not subscription.closed:
            await trio.sleep(0.001)


@requirement("SB-07")
def test_an_asyncio_queue_receives_in_order_and_holds_its_subscription_up_alone(system):
    async def main() -> None:
        inbox: asyncio.Queue[Event] = asyncio.Queue(maxsize=2)
        system.subscribe(inbox, events=WANTED)
        flip(system, 5)
        got = [await asyncio.wait_for(inbox.get(), WITHIN) for _ in range(10)]
        assert [event.n for event in got] == list(range(1, 11))

    asyncio.run(main())


@requirement("SB-07")
@pytest.mark.parametrize("inbox", [queue.Queue(), queue.Queue(2), queue.SimpleQueue()])
def test_the_queues_of_threads_receive(system, inbox):
    subscription = system.subscribe(inbox, events=WANTED)
    flip(system, 3)
    got = [inbox.get(timeout=WITHIN) for _ in range(6)]
    assert [event.n for event in got] == [1, 2, 3, 4, 5, 6]
    assert system.unsubscribe(inbox) == 1
    assert subscription.closed


def test_what_belongs_to_a_loop_is_subscribed_from_there(system):
    send, _receive = trio.open_memory_channel[Event](1)
    with pytest.raises(ConfigError, match="from the trio run that it belongs to"):
        system.subscribe(send)
    with pytest.raises(ConfigError, match="from the asyncio loop that it belongs to"):
        system.subscribe(asyncio.Queue())
    assert system.subscriptions() == ()


def test_a_task_that_an_actor_has_spawned_subscribes_that_actor(system, until):
    got: list[str] = []

    class Watching(Actor):
        async def on_start(self) -> None:
            self.spawn(self._ask)

        async def _ask(self) -> None:
            self.subscription = system.subscribe(events=["circuit_opened"])

        async def on_receive(self, message: Any) -> None:
            got.append(message.event)

    ref = system.actors.start().spawn(Watching)
    until(lambda: len(system.subscriptions()) == 1)
    system.circuit("search").open_circuit()
    until(lambda: got == ["circuit_opened"])
    assert system.subscriptions()[0].name.startswith("test_a_task_that_an_actor_has_spawned")
    ref.stop()
    until(lambda: not system.subscriptions())


def test_outside_of_an_actor_subscribing_without_a_handler_says_what_to_give(system):
    with pytest.raises(ConfigError, match="From elsewhere give its ref"):
        system.subscribe()
