"""Events as CloudEvents, held against the SDK of that specification."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import jsonschema
import pytest
from cloudevents.core.bindings.http import (
    HTTPMessage,
    from_http_event,
    to_binary_event,
    to_structured_event,
)

from brama.circuits import CRITICAL, DATA, EVENTS, Event, EventFormatError, Fields, Severity
from brama.notifier import cloudevents, event_schema

requirement = pytest.mark.requirement


def value(schema):
    """Something that the schema of a key allows."""
    if "enum" in schema:
        return schema["enum"][0]
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "array":
        return [value(schema.get("items", {}))]
    return {"integer": 1, "number": 2.5, "string": "text", "boolean": True, "object": {}}[kind]


def sample(name: str, **fields) -> Event:
    """An event of that kind with all of its documented data."""
    data = {key: value(DATA[key].schema) for key in EVENTS[name].data}
    values = {
        "event": name,
        "connection": "search",
        "scope": None,
        "timestamp": datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
        "monotonic": 5.25,
        "epoch": 1_790_000_000_000,
        "seq": 3 if name in CRITICAL else None,
        "event_id": "a-7-2",
        "severity": Severity.ERROR,
        "data": Fields(data),
        "source": "shop-1",
    }
    return Event(**(values | fields))


FORMS = {"binary": cloudevents.to_binary, "structured": cloudevents.to_structured}
THEIRS = {"binary": to_binary_event, "structured": to_structured_event}


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(event_schema())


@requirement("EV-01")
@pytest.mark.parametrize("name", EVENTS)
def test_every_kind_of_event_is_valid_by_the_schema(name, check_event):
    check_event(sample(name).to_dict())


@requirement("EV-01")
@pytest.mark.parametrize(
    "change",
    [
        {"event": "circuit_open"},
        {"seq": None},
        {"severity": "awful"},
        {"schema_version": "2.0"},
        {"data": {}},
        {"epoch": -1},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_wrong(change, check_event):
    with pytest.raises(jsonschema.ValidationError):
        check_event({**sample("circuit_opened").to_dict(), **change})


@requirement("EV-04")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", EVENTS)
def test_the_sdk_reads_what_we_write(name, form):
    event = sample(name, scope="zażółć/50 %", trace=f"00-{'a' * 32}-{'b' * 16}-01")
    headers, body = FORMS[form](event)
    read = from_http_event(HTTPMessage(headers=headers, body=body))
    assert read.get_id() == event.event_id
    assert read.get_type() == f"brama.{name}"
    assert read.get_source() == "/brama/shop-1"
    assert read.get_time() == event.timestamp
    assert read.get_subject() == "zażółć%2F50 %25/search"
    assert read.get_extension("traceparent") == event.trace
    assert Event.from_dict(read.get_data()) == event


@requirement("EV-04")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", EVENTS)
def test_we_read_what_the_sdk_writes(name, form):
    event = sample(name, scope='sho"p é', trace=f"00-{'a' * 32}-{'b' * 16}-01")
    headers, body = cloudevents.to_structured(event)
    theirs = THEIRS[form](from_http_event(HTTPMessage(headers=headers, body=body)))
    assert cloudevents.from_http(theirs.headers, theirs.body) == event


@requirement("EV-04")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attribute", ["id", "source", "type", "specversion"])
def test_a_missing_attribute_is_named(form, attribute):
    headers, body = FORMS[form](sample("circuit_opened"))
    if form == "binary":
        del headers[f"ce-{attribute}"]
    else:
        message = json.loads(body)
        del message[attribute]
        body = json.dumps(message)
    with pytest.raises(EventFormatError) as caught:
        cloudevents.from_http(headers, body)
    assert (caught.value.field, caught.value.code) == (attribute, "missing_field")


@requirement("EV-04")
@pytest.mark.parametrize(
    ("attribute", "value"),
    [("specversion", "0.3"), ("type", "other.thing"), ("id", "other"), ("id", ""), ("source", 5)],
)
def test_a_wrong_attribute_is_named(attribute, value):
    message = cloudevents.to_dict(sample("circuit_opened"))
    with pytest.raises(EventFormatError) as caught:
        cloudevents.from_dict({**message, attribute: value})
    assert caught.value.field == attribute


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b"[" * 200_000, b'{"event": "success"}'])
def test_a_body_that_is_no_event_is_refused(body):
    headers, _ = cloudevents.to_binary(sample("circuit_opened"))
    with pytest.raises(EventFormatError):
        cloudevents.from_http(headers, body)
    with pytest.raises(EventFormatError):
        cloudevents.from_http({"Content-Type": cloudevents.STRUCTURED}, body)


def test_header_names_may_be_written_in_any_case_and_the_type_with_a_charset():
    event = sample("circuit_opened")
    headers, body = cloudevents.to_structured(event)
    assert (
        cloudevents.from_http({"Content-Type": f"{headers['content-type']}; charset=utf-8"}, body)
        == event
    )
    headers, body = cloudevents.to_binary(event)
    assert cloudevents.from_http({name.upper(): headers[name] for name in headers}, body) == event


def test_baggage_does_not_travel():
    headers, body = cloudevents.to_binary(sample("circuit_opened"))
    assert not [name for name in headers if "baggage" in name]
    assert b"baggage" not in body


def test_attributes_without_a_value_are_left_out():
    message = cloudevents.to_dict(sample("success"))
    assert "sequence" not in message
    assert "traceparent" not in message
    assert all(message.values())


def test_a_batch_holds_the_events_in_order():
    events = [sample("circuit_opened", event_id=str(number)) for number in range(3)]
    headers, body = cloudevents.to_batch(events)
    assert headers["content-type"] == "application/cloudevents-batch+json"
    assert [cloudevents.from_dict(message) for message in json.loads(body)] == events
