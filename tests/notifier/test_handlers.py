"""Every kind of handler: where it runs, what its failure does, and to whom."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest
import trio

import brama
from brama.actors import ActorError
from brama.circuits import Event
from brama.notifier import HandlerActor, inline
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement
WITHIN = 10.0


def open_and_close(system: brama.System, times: int = 1, name: str = "search") -> None:
    circuit = system.circuit(name)
    for _ in range(times):
        circuit.open_circuit()
        circuit.close_circuit()


EXPECTED = ["state_change", "circuit_opened", "state_change", "circuit_closed"]


def test_a_plain_function_runs_on_a_worker_thread(system, recorder):
    seen = recorder()
    system.subscribe(seen)
    open_and_close(system)
    seen.wait_until(lambda events: len([e for e in events if e.critical]) == 4)
    loop = []
    looked = threading.Event()
    system.actors.call_soon(lambda: (loop.append(threading.get_ident()), looked.set()))
    assert looked.wait(WITHIN)
    assert not seen.threads & {threading.get_ident(), *loop}


def test_an_inline_handler_runs_on_the_loop_of_the_system(system, recorder):
    seen = recorder()
    where = []
    system.subscribe(
        inline(lambda event: (where.append(system.actors.on_loop_thread()), seen(event)))
    )
    open_and_close(system)
    seen.wait(4)
    assert set(where) == {True}


def test_an_async_handler_from_a_plain_thread_runs_on_the_loop_of_the_system(system, recorder):
    seen = recorder()
    where = []

    async def handler(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        where.append(system.actors.on_loop_thread())
        seen(event)

    system.subscribe(handler, events=["state_change"])
    open_and_close(system)
    seen.wait(2)
    assert set(where) == {True}


def test_an_async_handler_from_asyncio_runs_on_that_loop(system):
    async def main() -> list[str]:
        done, names = asyncio.Event(), []

        async def handler(event: Event) -> None:
            await asyncio.sleep(0)
            assert asyncio.get_running_loop() is loop
            names.append(event.event)
            if len(names) == 4:
                done.set()

        loop = asyncio.get_running_loop()
        system.subscribe(handler, connection="search", events=list(dict.fromkeys(EXPECTED)))
        open_and_close(system)
        await asyncio.wait_for(done.wait(), WITHIN)
        return names

    assert asyncio.run(main()) == EXPECTED


async def test_an_async_handler_from_a_foreign_trio_run_runs_there(system):
    token, done, names = trio.lowlevel.current_trio_token(), trio.Event(), []

    async def handler(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        assert trio.lowlevel.current_trio_token() is token
        names.append(event.event)
        if len(names) == 4:
            done.set()

    system.subscribe(handler, events=list(dict.fromkeys(EXPECTED)))
    open_and_close(system)
    with trio.fail_after(WITHIN):
        await done.wait()
    assert names == EXPECTED


@pytest.mark.parametrize("colour", ["plain", "async"])
def test_a_handler_actor_is_made_from_its_class_or_a_partial_of_it(system, recorder, colour):
    class Plain(HandlerActor):
        def __init__(self, seen, extra: int = 0) -> None:
            super().__init__()
            self.seen, self.extra = seen, extra

        def on_event(self, event: Event) -> None:
            assert self.extra == 5
            self.seen(event)

    class Async(Plain):
        async def on_event(self, event: Event) -> None:
            await trio.lowlevel.checkpoint()
            super().on_event(event)

    seen = recorder()
    cls = Plain if colour == "plain" else Async
    system.subscribe(partial(cls, seen, extra=5), events=list(dict.fromkeys(EXPECTED)))
    open_and_close(system)
    seen.wait(4)
    assert seen.names == EXPECTED


class Crashing(HandlerActor):
    def on_event(self, event: Event) -> None:
        type(self).seen(event)
        if not event.redelivered:
            raise ValueError("boom")


def subscribed(kind: str, system: brama.System, seen) -> brama.Subscription:
    """Subscribe a handler of this kind that fails over each event once."""
    wanted = ["state_change"]
    if kind == "worker":
        return system.subscribe(seen, events=wanted)
    if kind == "inline":
        return system.subscribe(inline(seen), events=wanted)
    if kind == "loop":
        return system.subscribe(seen.awaited, events=wanted)
    actor = type("Actor", (Crashing,), {"seen": staticmethod(seen)})
    seen._fail = lambda _event: False
    return system.subscribe(actor, events=wanted)


@requirement("SB-10")
@pytest.mark.parametrize("kind", ["worker", "inline", "loop", "actor"])
def test_a_handler_that_raises_gets_the_same_event_again_before_any_later_one(
    system, recorder, kind
):
    seen = recorder(lambda event: not event.redelivered)
    neighbour = recorder()
    subscription = subscribed(kind, system, seen)
    system.subscribe(neighbour, events=["state_change"])
    open_and_close(system)
    got = [(e.seq, e.n, e.redelivered) for e in seen.wait(4)]
    assert got == [(1, 1, False), (1, 1, True), (3, 2, False), (3, 2, True)]
    assert [e.redelivered for e in neighbour.wait(2)] == [False, False]
    assert subscription.state == "active"


@requirement("SB-10")
def test_the_quarantine_takes_the_one_that_fails_for_ever_and_no_other(
    system, recorder, monkeypatch, until
):
    monkeypatch.setattr("brama.notifier.deliverers.INTENSITY", 2)
    seen = recorder(lambda _event: True)
    neighbour = recorder()
    broken = system.subscribe(seen, events=["state_change"], max_redeliveries=100)
    healthy = system.subscribe(neighbour, events=["state_change"])
    open_and_close(system)
    until(lambda: [one.id for one in system.subscriptions()] == [healthy.id])
    assert broken.state == "quarantined"
    assert len(seen.events) == 3
    neighbour.wait(2)
    open_and_close(system)
    neighbour.wait(4)
    assert healthy.state == "active"
    assert [one.id for one in system.subscriptions()] == [healthy.id]
    health = system.health()
    assert (health.status, health.reasons) == ("degraded", (f"quarantined: handler {broken.name}",))


@requirement("DT-08", "B18")
def test_a_handler_that_is_stuck_delays_neither_others_nor_the_guarded_call(system, recorder):
    stuck, free = threading.Event(), threading.Event()

    def blocks(_event: Event) -> None:
        stuck.set()
        assert free.wait(WITHIN)

    neighbour = recorder()
    blocked = system.subscribe(blocks, events=["state_change"])
    system.subscribe(neighbour, events=["state_change"])
    circuit = system.circuit("search")
    try:
        open_and_close(system)
        assert stuck.wait(WITHIN)
        open_and_close(system, 50)
        assert circuit.call(lambda: "served") == "served"
        neighbour.wait(102)
        assert blocked.delivered == 0
    finally:
        free.set()


@requirement("SB-06", "BR-17")
@pytest.mark.parametrize("kind", ["worker", "inline", "loop", "filtered loop", "actor"])
def test_a_handler_may_close_its_subscription_and_hears_no_more(system, recorder, kind):
    first, seen, answers = threading.Event(), recorder(), []

    def close(event: Event) -> None:
        seen(event)
        answers.append(mine.close(wait=True))
        first.set()

    async def aclose(event: Event) -> None:
        close(event)

    class Actor(HandlerActor):
        def on_event(self, event: Event) -> None:
            close(event)

    handler = {"worker": close, "inline": inline(close), "actor": Actor}.get(kind, aclose)
    condition = (lambda _event: True) if kind == "filtered loop" else None
    mine = system.subscribe(handler, events=["state_change"], filter=condition)
    last = recorder()
    open_and_close(system, 5)
    assert first.wait(WITHIN)
    system.subscribe(last, events=["state_change"])
    open_and_close(system)
    last.wait(2)
    assert answers == [False]
    assert len(seen.events) == 1
    assert mine.id not in [one.id for one in system.subscriptions()]


@requirement("SB-06", "BR-17")
@pytest.mark.parametrize("with_filter", [False, True])
def test_no_invocation_starts_after_close_has_returned(system, with_filter):
    circuit = system.circuit("search")
    stop = threading.Event()

    def traffic() -> None:
        while not stop.is_set():
            circuit.open_circuit()
            circuit.close_circuit()
            stop.wait(0.0002)  # a flood would only starve the threads that are looked at

    busy = threading.Thread(target=traffic)
    busy.start()
    try:
        for _ in range(40):
            began = threading.Event()
            calls: list[int] = []

            def handler(_event: Event, calls: list[int] = calls, began=began) -> None:
                calls.append(1)
                began.set()

            sub = system.subscribe(handler, filter=(lambda _e: True) if with_filter else None)
            assert began.wait(WITHIN)
            assert sub.close(wait=WITHIN)
            after = len(calls)
            assert sub.queued == 0
            assert sub.take() is None
            assert len(calls) == after
    finally:
        stop.set()
        busy.join()


@requirement("SB-06")
def test_a_closed_asyncio_loop_ends_the_subscription(system, until, caplog):
    async def main() -> brama.Subscription:
        async def handler(_event: Event) -> None:
            raise AssertionError("nothing happened yet")

        return system.subscribe(handler, events=["state_change"])

    subscription = asyncio.run(main())
    open_and_close(system)
    until(lambda: subscription.closed)
    until(lambda: "asyncio loop that it was subscribed from is closed" in caplog.text)
    assert "dead letters" in caplog.text


@requirement("SB-06")
def test_a_trio_run_that_has_ended_ends_the_subscription(system, until, caplog):
    async def main() -> brama.Subscription:
        async def handler(_event: Event) -> None:
            raise AssertionError("nothing happened yet")

        return system.subscribe(handler, events=["state_change"])

    subscription = trio.run(main)
    open_and_close(system)
    until(lambda: subscription.closed)
    until(lambda: "trio run that it was subscribed from has ended" in caplog.text)


class Deaf(HandlerActor):
    """Has no on_event."""


class TakesNone(HandlerActor):
    def on_event(self) -> None: ...  # type: ignore[override]  # that is the mistake


class TakesTwo(HandlerActor):
    async def on_event(self, event: Event, more: object) -> None: ...  # type: ignore[override]  # one too many


class Yields(HandlerActor):
    def on_event(self, event: Event) -> Any:
        yield event


class HasFive(HandlerActor):
    on_event = 5  # type: ignore[assignment]  # no function at all


class Callable:
    async def __call__(self, event: Event) -> None: ...


@requirement("SB-02", "BR-03")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"handler": 5}, "handler must be a function of one event"),
        ({"handler": str}, "handler must be a function of one event"),
        ({"handler": Deaf}, "a class that defines on_event(event); Deaf does not"),
        ({"handler": TakesNone}, "that of TakesNone is on_event(self) -> "),
        ({"handler": TakesTwo}, "that of TakesTwo is on_event(self, event"),
        ({"handler": Yields}, "that of Yields is a generator"),
        ({"handler": HasFive}, "that of HasFive is on_event = 5, got"),
        ({"handler": partial(Deaf, 5)}, "Deaf does not"),
        ({"handler": print, "events": ["circuit_open"]}, "Did you mean 'circuit_opened'?"),
        ({"handler": print, "events": ["nonsense"]}, "one of state_change, registration"),
        ({"handler": print, "events": "failure"}, "Write events=['failure']"),
        ({"handler": print, "events": []}, "at least one name"),
        ({"handler": print, "connection": ""}, "connection must be 1 to 255"),
        ({"handler": print, "scope": 5}, "scope must be a str"),
        ({"handler": print, "filter": Callable()}, "filter must be a plain function"),
        ({"handler": print, "filter": 5}, "filter must be a plain function"),
        ({"handler": print, "max_redeliveries": -1}, "max_redeliveries must be a whole number"),
        ({"handler": print, "events": ["circuits_*"]}, "Did you mean 'circuit_"),
        ({"handler": print, "scope": ""}, "scope must be 1 to 255"),
        ({"handler": print, "events": ["cleanup"], "connection": "a"}, "nothing could match"),
        ({"handler": print, "backlog": 0}, "backlog must be a whole number >= 1"),
        ({"handler": print, "overflow": "drop_new"}, "Did you mean 'drop_newest'?"),
        ({"handler": print, "batch": 0}, "batch must be a whole number >= 1"),
        ({"handler": print, "batch_age": 0}, "batch_age must be a number of seconds > 0"),
        ({"handler": print, "snapshot": 1}, "snapshot must be True or False"),
        ({"handler": print, "snapshot": True, "durable": "me"}, "not given together with durable"),
        ({"handler": print, "exactly_once": True}, "nobody can promise it"),
        ({"handler": print, "order": "total"}, "it is total for each connection"),
        ({"handler": print, "event": ["failure"]}, "Did you mean 'events'?"),
        ({"handler": None}, "an actor subscribes itself"),
    ],
)
def test_wrong_arguments_are_refused_where_they_are_given(system, arguments, says):
    with pytest.raises(ConfigError) as caught:
        system.subscribe(arguments.pop("handler"), **arguments)
    assert says in str(caught.value)
    assert system.subscriptions() == ()


@pytest.mark.parametrize("wrong", [5, int, Callable()])
def test_inline_takes_plain_functions_only(wrong):
    with pytest.raises(ConfigError, match="handler must be a"):
        inline(wrong)


def test_unsubscribe_takes_back_only_what_subscribe_gave(system):
    assert system.unsubscribe(print) == 0
    with pytest.raises(ConfigError, match="what subscribe"):
        system.unsubscribe(5)


def test_a_handler_actor_that_cannot_be_made_ends_its_subscription_loudly(system, until, caplog):
    class Broken(HandlerActor):
        def __init__(self) -> None:
            raise RuntimeError("no constructor today")

        def on_event(self, event: Event) -> None: ...

    subscription = system.subscribe(Broken)
    until(lambda: subscription.closed)
    assert "could not be started" in caplog.text


def test_a_handler_that_raises_a_cancellation_of_another_task_has_failed(system, until):
    """It is no order to stop: the event comes again some times, and then is given up."""
    calls: list[int] = []

    async def main() -> None:
        async def handler(event: Event) -> None:
            calls.append(event.n)
            other = asyncio.ensure_future(asyncio.sleep(10))
            await asyncio.sleep(0)
            other.cancel()
            await other

        sub = system.subscribe(handler, events=["circuit_opened"], max_redeliveries=1)
        system.circuit("search").open_circuit()
        while sub.dropped == 0:
            await asyncio.sleep(0.005)
        assert (sub.failures, sub.state) == (2, "active")

    asyncio.run(asyncio.wait_for(main(), WITHIN))
    assert calls == [1, 1]


@pytest.mark.parametrize("what", ["ask", "call", "spawn"])
def test_on_a_worker_thread_a_handler_actor_is_told_what_only_its_own_loop_can_do(
    system, until, what
):
    raised: list[Exception] = []

    class Asking(HandlerActor):
        def on_event(self, event: Event) -> None:
            ask = {
                "ask": lambda: self.actor_ref.ask(event),
                "call": lambda: self.actor_ref.call(event, timeout=None),
                "spawn": lambda: self.spawn(self.on_start),
            }
            try:
                ask[what]()
            except ActorError as error:
                raised.append(error)

    subscription = system.subscribe(Asking, events=["circuit_opened"])
    system.circuit("search").open_circuit()
    until(lambda: subscription.delivered == 1)
    assert ("async def" if what == "spawn" else "could never be answered") in str(raised[0])
