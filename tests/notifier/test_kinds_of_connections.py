"""Subscriptions to one kind of connection: filtered where events are made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import brama
from brama import ConfigError, ConnectionKind
from brama.circuits import ALL, EVENTS, mask_of
from brama.notifier import Index, inline

from .test_index import Want, indexed

requirement = pytest.mark.requirement


def fill(system: brama.System) -> None:
    """One connection of each kind, called like it."""
    for kind in ConnectionKind:
        system.circuit(kind.value, kind=kind)


@requirement("EV-08")
@pytest.mark.parametrize("kind", ConnectionKind)
def test_a_handler_of_one_kind_hears_of_that_kind_alone(system, recorder, kind):
    fill(system)
    wanted, everything = recorder(), recorder()
    system.subscribe(wanted, events=["circuit_opened"], kind=kind.value)
    system.subscribe(everything, events=["circuit_opened"])
    for circuit in system.circuits():
        circuit.open_circuit()
    assert {event.kind for event in everything.wait(len(ConnectionKind))} == set(ConnectionKind)
    (event,) = wanted.wait(1)
    assert (event.connection, event.kind) == (kind.value, kind)
    statuses = {status.kind: status for status in system.subscriptions()}
    assert statuses[kind].delivered + statuses[kind].queued == 1
    assert statuses[None].delivered + statuses[None].queued == len(ConnectionKind)


@requirement("EV-08")
@pytest.mark.parametrize("kind", ConnectionKind)
def test_a_stream_of_one_kind_ends_empty_when_others_open(system, kind):
    fill(system)
    with system.events(events=["circuit_opened"], kind=kind) as events:
        for circuit in system.circuits():
            circuit.open_circuit()
        assert events.get(10).connection == kind.value
        assert events.subscription.queued == 0


@requirement("EV-08")
def test_what_is_asked_for_beside_the_kind_must_match_too(system, recorder):
    heard = recorder()
    system.subscribe(heard, connection="pay_*", scope="shop", kind="database", events=["failure"])
    for name, scope, kind in (
        ("pay_a", "shop", "service"),
        ("pay_a", "other", "database"),
        ("search", "shop", "database"),
        ("pay_b", "shop", "database"),
    ):
        system.circuit(name, scope=scope, kind=kind).failure("Timeout")
    (event,) = heard.wait(1)
    assert (event.connection, event.scope) == ("pay_b", "shop")


@requirement("EV-08")
def test_events_of_no_connection_are_of_no_kind(system, recorder):
    system.start()
    heard, all_of_it = recorder(), recorder()
    system.subscribe(heard, kind="other")
    system.subscribe(all_of_it)
    system._alarm({"subject": "test", "status": "failing", "reason": "", "since": 0.0})
    system.circuit("search").open_circuit()
    all_of_it.wait_until(lambda events: "circuit_opened" in all_of_it.names)
    assert "alarm" in all_of_it.names
    heard.wait_until(lambda events: "circuit_opened" in heard.names)
    assert "alarm" not in heard.names


@requirement("EV-08")
def test_snapshots_are_of_the_kind_that_was_asked_for(system, recorder):
    fill(system)
    heard = recorder()
    system.subscribe(heard, kind="device", snapshot=True)
    system.get("service").open_circuit()
    system.get("device").open_circuit()
    events = heard.wait(3)
    assert [event.event for event in events] == ["snapshot", "state_change", "circuit_opened"]
    assert {event.connection for event in events} == {"device"}


@requirement("EV-08")
def test_lists_of_events_are_of_the_kind_that_was_asked_for(system):
    fill(system)
    lists = []
    subscription = system.subscribe(
        inline(lists.append), events=["circuit_opened"], kind="session", batch=2, batch_age=60.0
    )
    for circuit in system.circuits():
        circuit.open_circuit()
        circuit.close_circuit()
        circuit.open_circuit()
    system.flush()
    assert system.stop().complete
    assert [[event.connection for event in part] for part in lists] == [["session"] * 2]
    assert subscription.closed


@requirement("EV-08")
def test_a_durable_handler_catches_up_with_its_kind_alone(tmp_path, recorder):
    journal = tmp_path / "events.sqlite"
    first = brama.System(brama.Settings(), journal=journal)
    first.subscribe(recorder(), durable="pager", kind="database", events=["circuit_opened"]).close()
    first.subscribe(recorder(), durable="pager", kind="database", events=["circuit_opened"])
    assert first.flush()
    first.stop()
    between = brama.System(brama.Settings(), journal=journal)
    fill(between)
    for circuit in between.circuits():
        circuit.open_circuit()
    between.stop()
    last = brama.System(brama.Settings(), journal=journal)
    heard = recorder()
    try:
        last.subscribe(heard, durable="pager", kind="database", events=["circuit_opened"])
        last.circuit("later", kind="database").open_circuit()
        events = heard.wait_until(lambda events: events and events[-1].connection == "later")
    finally:
        last.stop()
    assert [event.connection for event in events] == ["database", "later"]


@requirement("EV-08")
@pytest.mark.parametrize("kind", ConnectionKind)
def test_a_replay_is_limited_to_a_kind(tmp_path, kind):
    with brama.System(brama.Settings(), journal=tmp_path / "events.sqlite") as system:
        fill(system)
        for circuit in system.circuits():
            circuit.open_circuit()
        found = list(system.replay(events=["circuit_opened"], kind=kind.value))
        with pytest.raises(ConfigError, match="kind"):
            system.replay(kind="pigeon")
    assert [(event.connection, event.kind) for event in found] == [(kind.value, kind)]


@requirement("EV-08")
def test_unsubscribing_a_kind_ends_what_has_asked_for_just_that(system):
    kept = system.subscribe(inline(print), kind="device")
    ended = system.subscribe(inline(print), kind="database")
    assert system.unsubscribe(kind="database") == 1
    assert (kept.closed, ended.closed) == (False, True)


def test_the_same_handler_of_another_kind_is_another_subscription(system, recorder):
    handler = recorder()
    one = system.subscribe(handler, kind="device")
    assert system.subscribe(handler, kind=ConnectionKind.DEVICE) is one
    assert system.subscribe(handler, kind="database") is not one


@requirement("EV-08")
@pytest.mark.parametrize("wrong", ["pigeon", "", 7, ["device"]])
def test_a_filter_by_a_kind_that_there_is_not_is_refused_with_the_list(system, wrong):
    with pytest.raises(ConfigError, match="session, device, service, database, other"):
        system.subscribe(inline(print), kind=wrong)


@requirement("EV-08")
def test_a_kind_and_only_events_of_no_connection_contradict_each_other(system):
    with pytest.raises(ConfigError, match="nothing could match"):
        system.subscribe(inline(print), kind="device", events=["cleanup"])


def test_nobody_who_asks_for_a_kind_costs_others_a_look():
    index = indexed(Want(kind=ConnectionKind.DEVICE))
    want = Want(kind=ConnectionKind.DATABASE)
    index.add(want)
    index.remove(want)
    assert index._kinds == 1
    assert index.match("failure", "a", None, index.version, ConnectionKind.DATABASE) == []
    assert index.mask("a", None, ConnectionKind.DATABASE) == 0
    index = indexed(want)
    index.remove(want)
    assert (index._kinds, index._buckets, index._masks, index._counts) == (0, {}, {}, {})


WANTS = st.builds(
    Want,
    events=st.sampled_from([None, ("failure",), ("failure", "success")]),
    connection=st.sampled_from([None, "a", "b"]),
    scope=st.sampled_from([None, "shop"]),
    kind=st.sampled_from([None, ConnectionKind.DEVICE, ConnectionKind.DATABASE]),
)


@requirement("EV-08")
@given(
    st.lists(st.tuples(WANTS, st.booleans()), max_size=20),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([None, "shop", "other"]),
    st.sampled_from([None, *ConnectionKind]),
)
def test_the_index_finds_what_asking_each_would_find(changes, name, scope, kind):
    index: Index[Want] = Index()
    present = []
    for want, stays in changes:
        index.add(want)
        present.append(want)
        if not stays:
            index.remove(present.pop())
    mask = 0
    for event in EVENTS:
        expected = [want for want in present if want.matches(event, name, scope, kind)]
        found = index.match(event, name, scope, index.version, kind)
        assert {id(want) for want in found} == {id(want) for want in expected}
        assert len(found) == len(expected)
        mask |= mask_of([event]) if expected else 0
    assert index.mask(name, scope, kind) == mask & ALL


def test_connections_are_listed_by_their_kind(system):
    fill(system)
    assert [one.name for one in system.connections(kind="device")] == ["device"]
    assert system.connections(kind=ConnectionKind.DEVICE, state="open") == ()
    with pytest.raises(ConfigError, match="session, device"):
        system.connections(kind="pigeon")
