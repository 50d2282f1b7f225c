"""What kind of connection a circuit guards: told once, carried by all that it says."""

from __future__ import annotations

import pickle

import pytest

import brama
from brama import ConfigError, ConnectionKind
from brama.circuits import Breaker, Catalogue, Event, Policy, Shared
from brama.circuits.connection_kind import UnknownKinds
from brama.notifier import EventFormatError, Receiver, cloudevents
from brama.telemetry.metric_names import UNKNOWN_KINDS
from brama.telemetry.metrics import reading

requirement = pytest.mark.requirement


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(Shared())


def opened(catalogue: Catalogue, **told) -> Event:
    circuit = catalogue.circuit("search", **told)
    circuit.open_circuit()
    return circuit._breaker.pending()[0].event(1, None)


@requirement("EV-08")
@pytest.mark.parametrize("kind", ConnectionKind)
def test_each_kind_is_carried_by_the_circuit_its_status_and_its_events(catalogue, kind):
    circuit = catalogue.circuit("search", kind=kind.value)
    event = opened(catalogue)
    assert circuit.kind is circuit.status().kind is event.kind is kind
    assert circuit._breaker.snapshot().kind is kind


@requirement("EV-08")
@pytest.mark.parametrize("kind", ConnectionKind)
def test_each_kind_survives_every_form_of_an_event(catalogue, kind):
    event = opened(catalogue, kind=kind)
    assert event.to_dict()["kind"] == kind.value
    for back in (
        Event.from_json(event.to_json()),
        pickle.loads(pickle.dumps(event)),
        cloudevents.from_http(*cloudevents.to_binary(event)),
        cloudevents.from_http(*cloudevents.to_structured(event)),
    ):
        assert back == event
        assert back.kind is kind
    assert cloudevents.to_binary(event)[0]["ce-kind"] == kind.value


@requirement("EV-08")
def test_a_kind_that_was_not_told_is_other(catalogue):
    assert catalogue.circuit("search").kind is ConnectionKind.OTHER
    assert not catalogue.unknown_kinds.counts


@requirement("EV-08")
def test_an_unknown_kind_is_other_and_counted():
    before = reading(UNKNOWN_KINDS)[()]
    system = brama.System(brama.Settings())
    assert system.circuit("one", kind="carrier pigeon").kind is ConnectionKind.OTHER
    system.circuit("two", kind="carrier pigeon")
    system.circuit("three", kind="Database")
    assert system.unknown_kinds == {"carrier pigeon": 2, "Database": 1}
    assert reading(UNKNOWN_KINDS)[()] == before + 3


def test_a_flood_of_unknown_kinds_is_counted_in_bounded_room():
    kinds = UnknownKinds()
    for number in range(1000):
        kinds.read(f"kind {number}")
    assert len(kinds.counts) == 101
    assert kinds.counts.total() == 1000
    assert kinds.counts["…"] == 900


@requirement("EV-08")
@pytest.mark.parametrize("wrong", ["", "  ", 7, True, b"service", ["service"]])
def test_what_is_no_text_or_an_empty_one_is_no_kind(catalogue, wrong):
    with pytest.raises(ConfigError, match="one of session, device, service, database, other"):
        catalogue.circuit("search", kind=wrong)
    assert catalogue.find("search") is None


@requirement("EV-08")
def test_a_second_kind_for_the_same_connection_is_refused(catalogue):
    first = catalogue.circuit("search", kind="database")
    assert catalogue.circuit("search") is catalogue.circuit("search", kind="database") is first
    with pytest.raises(ConfigError, match="'database', which it has, got: 'device'"):
        catalogue.circuit("search", kind="device")
    assert catalogue.circuit("search", scope="elsewhere", kind="device").kind == "device"


def test_a_connection_keeps_its_kind_when_it_registers_again(catalogue):
    circuit = catalogue.circuit("search", kind="database")
    catalogue.unregister("search")
    circuit.call(lambda: None)
    assert catalogue.get("search").kind is ConnectionKind.DATABASE


def test_a_connection_that_was_unregistered_may_come_back_as_another_kind(catalogue):
    held = catalogue.circuit("search", kind="database")
    catalogue.unregister("search")
    assert catalogue.circuit("search", kind="device").kind is held.kind is ConnectionKind.DEVICE


def test_whoever_wants_the_new_kind_hears_of_a_connection_that_has_changed_it():
    class Devices:
        version = 1

        def mask(self, _connection, _scope, kind):
            return brama.circuits.ALL if kind is ConnectionKind.DEVICE else 0

    shared = Shared(interest=Devices())
    breaker = Breaker("search", None, Policy(), shared)
    breaker.open_gate()
    breaker.report_failure("Timeout")
    assert not breaker.pending()
    breaker.install(Policy(), {}, {}, ConnectionKind.DEVICE)
    breaker.open_gate()
    breaker.report_failure("Timeout")
    assert [record.events[0] for record in breaker.pending()] == ["registration", "failure"]


@requirement("EV-08")
def test_an_older_event_without_a_kind_is_read(catalogue):
    fields = opened(catalogue, kind="device").to_dict()
    del fields["kind"]
    assert Event.from_dict(fields).kind is ConnectionKind.OTHER


@requirement("EV-08")
def test_an_unknown_kind_on_the_wire_is_other_and_counted(catalogue):
    before = reading(UNKNOWN_KINDS)[()]
    fields = {**opened(catalogue).to_dict(), "kind": "satellite"}
    received = Receiver().read(fields)
    assert received is not None
    assert received.event.kind is ConnectionKind.OTHER
    assert reading(UNKNOWN_KINDS)[()] == before + 1


@pytest.mark.parametrize("wrong", [7, None, "", ["device"]])
def test_a_kind_on_the_wire_that_is_no_text_is_refused_and_named(catalogue, wrong):
    fields = {**opened(catalogue).to_dict(), "kind": wrong}
    with pytest.raises(EventFormatError) as refused:
        Event.from_dict(fields)
    assert refused.value.field == "kind"
