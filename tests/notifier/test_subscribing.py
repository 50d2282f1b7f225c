"""Subscribing and unsubscribing while events flow, and the promises that hold then."""

from __future__ import annotations

import threading
from collections import defaultdict
from itertools import pairwise

import pytest

import brama
from brama.circuits import Event
from brama.notifier import inline

requirement = pytest.mark.requirement
WITHIN = 10.0


@requirement("SB-01")
def test_a_subscription_to_everything_sees_the_whole_life_of_a_circuit(system, recorder):
    seen = recorder()
    system.subscribe(inline(seen))
    circuit = system.circuit("search", failure_threshold=2)
    circuit.call(lambda: None)
    circuit.failure()
    circuit.failure()
    circuit.reset_circuit()
    system.unregister("search")
    seen.wait(9)
    assert seen.names == [
        "registration",
        "connection_registered",
        "success",
        "failure",
        "state_change",
        "circuit_opened",
        "state_change",
        "circuit_reset",
        "connection_unregistered",
    ]
    assert [event.n for event in seen.events] == list(range(1, 10))
    assert [event.seq for event in seen.events if event.critical] == [1, 2, 3, 4]


@requirement("SB-01")
def test_the_same_handler_with_the_same_filters_is_the_same_subscription(system):
    def handler(_event: Event) -> None: ...

    first = system.subscribe(handler, events=["failure"], scope="shop")
    assert system.subscribe(handler, events=["failure"], scope="shop") is first
    others = [
        system.subscribe(handler, events=["success"], scope="shop"),
        system.subscribe(handler, events=["failure"]),
        system.subscribe(handler, events=["failure"], scope="shop", filter=bool),
        system.subscribe(inline(handler), events=["failure"], scope="shop"),
        system.subscribe(lambda _event: None, events=["failure"], scope="shop"),
    ]
    assert len({first, *others}) == 6
    first.close()
    assert system.subscribe(handler, events=["failure"], scope="shop") is not first


@requirement("SB-01")
def test_a_method_is_the_same_handler_whenever_it_is_looked_up(system, recorder):
    seen, other, heard = recorder(), recorder(), []
    first = system.subscribe(seen.wait)
    assert system.subscribe(seen.wait) is first
    assert system.subscribe(other.wait) is not first
    plain = system.subscribe(inline(heard.append))
    assert system.subscribe(inline(heard.append)) is plain
    assert system.subscribe(inline([].append)) is not plain


def test_whether_handlers_are_the_same_is_not_asked_of_the_user(system):
    class Odd:
        __hash__ = None

        def __eq__(self, other: object) -> bool:
            raise AssertionError("user code ran under the lock of the subscriptions")

        def __call__(self, event: Event) -> None: ...

    one = Odd()
    first = system.subscribe(one)
    assert system.subscribe(one) is first
    assert system.subscribe(Odd()) is not first


@requirement("SB-03", "SB-04", "SB-05", "SB-08")
def test_events_reach_only_those_who_want_this_connection_in_this_scope(system, recorder):
    one, two, three = recorder(), recorder(), recorder()
    system.subscribe(inline(one), connection="search", events=["circuit_opened"])
    system.subscribe(inline(two), scope="shop", events=["circuit_opened"])
    system.subscribe(inline(three), connection="search", scope="shop", events=["circuit_opened"])
    last = recorder()
    system.subscribe(inline(last), connection="last")
    for name, scope in [("search", None), ("search", "shop"), ("other", "shop"), ("last", None)]:
        system.circuit(name, scope=scope).open_circuit()
    last.wait_until(lambda events: events[-1:] and events[-1].event == "circuit_opened")
    # The order among connections is not promised, so wait for what must come.
    assert {(e.connection, e.scope) for e in one.wait(2)} == {("search", None), ("search", "shop")}
    assert {(e.connection, e.scope) for e in two.wait(2)} == {("search", "shop"), ("other", "shop")}
    assert [(e.connection, e.scope) for e in three.wait(1)] == [("search", "shop")]


def test_a_filter_sees_the_event_and_decides(system, recorder):
    seen = recorder()
    system.subscribe(inline(seen), filter=lambda e: e.data.get("reason") == "mine")
    circuit = system.circuit("search")
    circuit.open_circuit("yours")
    circuit.close_circuit("mine")
    assert [(e.event, e.n) for e in seen.wait(2)] == [("state_change", 1), ("circuit_closed", 2)]


@requirement("SB-08")
def test_a_success_that_nobody_wants_is_never_made(system):
    circuit = system.circuit("search")
    subscription = system.subscribe(lambda _event: None, events=["success"], connection="other")
    circuit.call(lambda: None)
    assert circuit._breaker._events == 0
    assert system._shared.watched
    subscription.close()
    assert not system._shared.watched


def test_every_transition_after_subscribe_is_seen_and_none_before(system, recorder):
    circuit = system.circuit("search")
    for round_ in range(60):
        circuit.open_circuit(f"before {round_}")
        seen = recorder()
        subscription = system.subscribe(inline(seen), events=["state_change"])
        circuit.close_circuit(f"after {round_}")
        (event,) = seen.wait(1)
        assert event.data["reason"] == f"after {round_}"
        subscription.close()
        assert len(seen.events) == 1


@requirement("SB-11", "BR-17", "B14", "BR-R12")
def test_order_and_numbers_hold_while_eight_threads_fail_and_succeed(system, recorder, until):
    seen, worker = recorder(), recorder()
    wanted = ["state_change", "circuit_opened", "circuit_closed", "circuit_half_opened"]
    system.subscribe(inline(seen), events=wanted)
    system.subscribe(worker, events=wanted)
    names = ["a", "b"]
    start = threading.Barrier(8)

    def work(number: int) -> None:
        circuit = system.circuit(names[number % 2], failure_threshold=2, expiry=1e-6)
        start.wait(WITHIN)
        for i in range(500):
            if not i % 50:
                # A log is bounded: nobody changes state faster than it is published for long.
                until(lambda: len(getattr(circuit._breaker.log, "records", ())) < 256)
            if (i + number) % 3:
                circuit.failure(f"{number}-{i}")
            else:
                circuit.success()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        system.find(name).close_circuit()  # else its timer would go on counting
    last = {name: system.find(name)._breaker._critical for name in names}
    assert all(count > 100 for count in last.values())
    total = sum(last.values())
    for found in (seen.wait(total), worker.wait(total)):
        assert [event.n for event in found] == list(range(1, total + 1))
        by_name: defaultdict[str, list[Event]] = defaultdict(list)
        for event in found:
            by_name[event.connection].append(event)
        for name, events in by_name.items():
            assert [event.seq for event in events] == list(range(1, last[name] + 1))
            changes = [event for event in events if event.event == "state_change"]
            for one, two in pairwise(changes):
                assert one.data["new_state"] is two.data["previous_state"]
                assert one.data["generation"] < two.data["generation"]


def test_handlers_may_subscribe_and_unsubscribe(system, recorder):
    later = recorder()
    mine: list[brama.Subscription] = []

    def handler(_event: Event) -> None:
        if not mine:
            mine.append(system.subscribe(inline(later), events=["circuit_closed"]))
            system.unsubscribe(first)

    first = system.subscribe(inline(handler), events=["circuit_opened"])
    watch = recorder()
    system.subscribe(inline(watch), events=["circuit_opened"])
    circuit = system.circuit("search")
    circuit.open_circuit()
    watch.wait(1)
    circuit.close_circuit()
    later.wait(1)
    assert first.closed


@requirement("B15", "SB-06")
def test_unsubscribing_ends_what_was_named_or_all_of_this_thread(system):
    theirs: list[brama.Subscription] = []
    other = threading.Thread(target=lambda: theirs.append(system.subscribe(lambda _e: None)))
    other.start()
    other.join()
    one, two, three = (system.subscribe(lambda _e: None) for _ in range(3))
    assert system.unsubscribe(one) == 1
    assert system.unsubscribe(one) == 0
    assert system.unsubscribe() == 2
    assert (two.closed, three.closed, theirs[0].closed) == (True, True, False)
    assert system.unsubscribe() == 0


def test_a_subscription_is_a_context_manager(system):
    with system.subscribe(lambda _event: None) as subscription:
        assert [one.id for one in system.subscriptions()] == [subscription.id]
    assert subscription.closed


def test_thousands_come_and_go_and_leave_nothing_behind(system, recorder, until):
    system.start()
    counts: list[int] = []
    made = [
        system.subscribe(inline(lambda _e: counts.append(1)), events=["circuit_opened"])
        for _ in range(2000)
    ]
    system.circuit("search").open_circuit()
    until(lambda: len(counts) == 2000)
    for subscription in made:
        subscription.close()
    assert system.subscriptions() == ()
    index = system._subscriptions.index
    assert (index._buckets, index._masks, index._counts) == ({}, {}, {})
    tree = system.tree
    until(lambda: tree().find("subscribers").children == ())


def test_the_metadata_of_a_circuit_comes_with_its_events_and_can_be_filtered_by(system, recorder):
    heard, databases = recorder(), recorder()
    system.subscribe(heard, events=["circuit_opened"])
    system.subscribe(
        databases,
        events=["circuit_opened"],
        filter=lambda event: event.data["metadata"]["kind"] == "database",
    )
    stock = {"kind": "database", "place": {"rack": 4}}
    system.circuit("api").open_circuit()
    system.circuit("push", metadata={"kind": "device"}).open_circuit()
    system.circuit("stock", metadata=stock).open_circuit()
    events = {event.connection: event for event in heard.wait(3)}
    assert "metadata" not in events["api"].data
    assert events["stock"].data["metadata"] == stock
    assert [event.connection for event in databases.wait(1)] == ["stock"]
    assert brama.Event.from_json(events["stock"].to_json()) == events["stock"].delivery(
        events["stock"].n, redelivered=False
    )


@pytest.mark.parametrize(
    "again",
    [["failure", "success"], ["success", "failure", "success"], ("failure", "success")],
    ids=str,
)
def test_the_same_events_in_another_order_are_the_same_subscription(system, again):
    def handler(_event: Event) -> None: ...

    first = system.subscribe(handler, events=["success", "failure"])
    assert system.subscribe(handler, events=again) is first
    assert system.subscribe(handler, events=["success"]) is not first
    assert system.unsubscribe(handler, events=again) == 1
    assert first.closed


def test_a_circuit_stands_for_its_name_and_scope(system):
    payments = system.circuit("api", scope="payments")
    subscription = system.subscribe(lambda _event: None, connection=payments)
    assert (subscription.connection, subscription.scope) == ("api", "payments")
    with system.events(connection=payments) as events:
        payments.open_circuit()
        assert events.get(timeout=5).scope == "payments"
    assert system.unsubscribe(connection=payments) == 1
