"""Ending subscriptions by handle, handler, filter and owner; and the list of those that are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
import trio

import brama
from brama.circuits import Event
from brama.notifier import inline
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement


def one(_event: Event) -> None: ...


def two(_event: Event) -> None: ...


def elsewhere(work: Callable[[], object]) -> object:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


@requirement("SB-06")
def test_by_handler_it_ends_all_with_that_handler(system):
    first, second = system.subscribe(one), system.subscribe(one, events=["failure"])
    third = system.subscribe(inline(one), events=["failure"])
    other = system.subscribe(two)
    assert system.unsubscribe(one) == 3
    assert (first.closed, second.closed, third.closed, other.closed) == (True, True, True, False)
    assert system.unsubscribe(one) == 0


@requirement("SB-06")
def test_by_filter_it_ends_those_that_were_given_just_that(system):
    only = bool
    made = [
        system.subscribe(one, connection="a"),
        system.subscribe(one, connection="b"),
        system.subscribe(one, connection="a", events=["failure"]),
        system.subscribe(two, connection="a"),
        system.subscribe(two, filter=only),
    ]
    assert system.unsubscribe(one, connection="a") == 2
    assert [sub.closed for sub in made] == [True, False, True, False, False]
    assert system.unsubscribe(filter=only) == 1
    assert system.unsubscribe(connection="c") == 0
    assert system.unsubscribe(connection="a") == 1
    assert system.unsubscribe() == 1


@requirement("SB-06")
def test_without_a_handler_it_never_ends_the_subscription_of_another_owner(system):
    theirs = elsewhere(lambda: system.subscribe(one, scope="shop"))
    assert system.unsubscribe() == 0
    assert system.unsubscribe(scope="shop") == 0
    assert not theirs.closed
    assert system.unsubscribe(theirs) == 1  # who holds it may end it


def test_a_subscription_of_two_owners_ends_with_the_second(system):
    with ThreadPoolExecutor(1) as other:
        mine = system.subscribe(one)
        assert other.submit(system.subscribe, one).result() is mine
        assert system.unsubscribe() == 0
        assert not mine.closed
        assert other.submit(system.unsubscribe).result() == 1
        assert mine.closed


@requirement("SB-06")
def test_by_handler_it_ends_them_from_another_thread(system):
    mine = system.subscribe(one)
    assert elsewhere(lambda: system.unsubscribe(one, scope="shop")) == 0
    assert elsewhere(lambda: system.unsubscribe(one)) == 1
    assert mine.closed


def test_by_handler_it_ends_them_from_another_task(system):
    async def main() -> None:
        mine = system.subscribe(one)
        ended = await asyncio.create_task(asyncio.to_thread(system.unsubscribe, one))
        assert (ended, mine.closed) == (1, True)

    asyncio.run(main())


def test_by_handler_it_ends_them_in_the_handler_itself(system, until):
    seen: list[Event] = []
    answers: list[int] = []

    def once(event: Event) -> None:
        seen.append(event)
        answers.append(system.unsubscribe(once))

    subscription = system.subscribe(once, events=["circuit_opened", "circuit_closed"])
    circuit = system.circuit("a")
    circuit.open_circuit()
    until(lambda: bool(answers))
    circuit.close_circuit()
    assert answers == [1]
    assert subscription.closed
    assert [event.event for event in seen] == ["circuit_opened"]


def test_by_handler_it_ends_those_of_all_owners(system):
    with ThreadPoolExecutor(1) as other:
        mine = system.subscribe(one)
        assert other.submit(system.subscribe, one).result() is mine
        assert system.unsubscribe(one) == 1
        assert mine.closed


def test_an_owner_that_is_gone_keeps_no_subscription_up(system):
    mine = system.subscribe(one)
    assert elsewhere(lambda: system.subscribe(one)) is mine
    assert system.unsubscribe() == 1
    assert mine.closed


def test_each_task_owns_what_it_has_subscribed(system):
    async def owner() -> brama.Subscription:
        return system.subscribe(lambda _event: None)

    async def asyncio_main() -> None:
        theirs = await asyncio.create_task(owner())
        mine = system.subscribe(one)
        assert system.unsubscribe() == 1
        assert (mine.closed, theirs.closed) == (True, False)
        theirs.close()

    async def trio_main() -> None:
        made = []

        async def keep() -> None:
            made.append(await owner())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
        assert system.unsubscribe() == 0
        assert not made[0].closed

    asyncio.run(asyncio_main())
    trio.run(trio_main)


def test_what_a_handler_has_subscribed_is_not_the_next_handlers_on_that_thread(system, until):
    made: list[brama.Subscription] = []
    answers: list[int] = []

    def first(_event: Event) -> None:
        if not made:
            made.append(system.subscribe(lambda _event: None))

    def second(_event: Event) -> None:
        answers.append(system.unsubscribe())

    with system.subscribe(first, events=["circuit_opened"]):
        system.circuit("a").open_circuit()
        until(lambda: bool(made))
    with system.subscribe(second, events=["circuit_opened"]):
        system.circuit("b").open_circuit()
        until(lambda: bool(answers))
    assert answers == [0]
    assert not made[0].closed


def test_wrong_arguments_are_refused(system):
    with pytest.raises(ConfigError, match="Did you mean 'scope'"):
        system.unsubscribe(scop="a")
    with pytest.raises(ConfigError, match="not given together with a subscription"):
        system.unsubscribe(system.subscribe(one), scope="a")


@requirement("SB-03")
def test_the_list_shows_what_each_asks_for_and_how_it_fares(system, until):
    reached, free = threading.Event(), threading.Event()

    def stuck(_event: Event) -> None:
        reached.set()
        free.wait(10)

    subscription = system.subscribe(stuck, connection="not yet there", filter=lambda _event: True)
    circuit = system.circuit("not yet there")
    try:
        assert reached.wait(10)
        circuit.open_circuit()
        until(lambda: subscription.queued == 4)
        (status,) = system.subscriptions()
        assert status.id == subscription.id
        assert status.name.endswith("stuck")
        assert (status.events, status.connection, status.scope) == (None, "not yet there", None)
        assert (status.filtered, status.durable, status.state) == (True, None, "active")
        assert (status.queued, status.delivered, status.dropped, status.failures) == (4, 0, 0, 0)
        assert 0 < status.lag < 10
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            status.queued = 0
    finally:
        free.set()
    until(lambda: subscription.delivered == 4)
    assert system.subscriptions()[0].lag == 0.0


@requirement("SB-08")
def test_a_slow_filter_matches_nothing_and_is_reported_after_three(system, monkeypatch, until):
    monkeypatch.setattr("brama.notifier.filtering.SLOW_FILTER", 0.0)
    seen: list[Event] = []
    subscription = system.subscribe(inline(seen.append), filter=lambda _event: True)
    system.circuit("a").open_circuit()
    until(lambda: subscription.filter_failures == 4)
    assert seen == []
    assert system.subscriptions()[0].filter_failures == 4


@requirement("SB-02", "SB-03")
def test_globs_stand_for_many_connections_and_events(system, recorder):
    seen = recorder()
    system.subscribe(inline(seen), connection="payment_*", events=["circuit_*"])
    for name in ("payment_api", "search", "payment_", "my_payment_api"):
        system.circuit(name).open_circuit()
    last = system.circuit("payment_last")
    last.open_circuit()
    last.close_circuit()
    events = seen.wait(4)
    assert {event.connection for event in events} == {"payment_api", "payment_", "payment_last"}
    assert {event.event for event in events} == {"circuit_opened", "circuit_closed"}


@pytest.mark.parametrize("what", ["subscribe", "unsubscribe", "events"])
def test_a_circuit_of_another_system_is_refused_and_not_taken_for_one_of_the_same_name(
    system, what
):
    system.subscribe(one, connection="search")
    with brama.System() as other:
        foreign = other.circuit("search")
        ask = {
            "subscribe": lambda: system.subscribe(one, connection=foreign),
            "unsubscribe": lambda: system.unsubscribe(connection=foreign),
            "events": lambda: system.events(connection=foreign),
        }
        with pytest.raises(ConfigError, match="connection must be a circuit of this system"):
            ask[what]()
    assert len(system.subscriptions()) == 1


def test_a_circuit_stands_for_its_name_and_scope_and_contradicts_another_scope(system):
    circuit = system.circuit("search", scope="shop")
    system.subscribe(one, connection="search", scope="shop")
    with pytest.raises(ConfigError, match="scope must be 'shop', as the circuit's, or left out"):
        system.unsubscribe(connection=circuit, scope="stock")
    assert system.unsubscribe(connection=circuit) == 1
