"""Events as plain data and JSON, both ways."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama.circuits import EVENTS, Event, EventFormatError, Fields, Severity, State
from brama.circuits.wire import LIMIT
from brama.telemetry.metric_names import TRUNCATED
from brama.telemetry.metrics import reading

requirement = pytest.mark.requirement


def event(**fields) -> Event:
    values = {
        "event": "circuit_opened",
        "connection": "search",
        "scope": "shop",
        "timestamp": datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC),
        "monotonic": 5.25,
        "epoch": 1_790_000_000_000,
        "seq": 2,
        "event_id": "a-7-2",
        "severity": Severity.ERROR,
        "data": Fields(previous_state=State.CLOSED, new_state=State.OPEN, reason="Timeout"),
    }
    return Event(**(values | fields))


texts = st.text(max_size=30)
values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
events = st.builds(
    Event,
    event=st.sampled_from(list(EVENTS)),
    connection=texts,
    scope=st.none() | texts,
    timestamp=st.datetimes(timezones=st.just(UTC)),
    monotonic=st.floats(allow_nan=False, allow_infinity=False),
    epoch=st.integers(0, 2**53),
    seq=st.none() | st.integers(1, 2**53),
    event_id=texts,
    severity=st.sampled_from(Severity),
    data=st.dictionaries(texts, values | st.lists(values, max_size=3), max_size=5).map(Fields),
    trace=st.none() | texts,
    source=texts,
    n=st.integers(0, 2**31),
    redelivered=st.booleans(),
)


@given(events)
def test_an_event_is_the_same_after_a_way_through_json(original):
    text = original.to_json()
    restored = Event.from_json(text)
    if "�" not in text and "?" not in text:  # a lone surrogate has no UTF-8 and becomes "?"
        assert restored == original
    assert restored.to_json() == text


def test_states_and_the_severity_come_back_as_what_they_were():
    restored = Event.from_json(event().to_json())
    assert restored.data["new_state"] is State.OPEN
    assert restored.severity is Severity.ERROR
    assert type(restored.data) is Fields


def test_an_event_is_one_line_of_utf8():
    line = event(data=Fields(reason="zażółć\ngęślą \ud800")).to_json()
    assert "\n" not in line
    assert json.loads(line.encode())["data"]["reason"] == "zażółć\ngęślą ?"


@requirement("EV-13")
def test_times_are_utc_in_iso_and_milliseconds_that_agree():
    made = event()
    assert made.to_dict()["timestamp"] == "2026-01-01T12:00:00.123456Z"
    assert made.timestamp_ms == 1_767_268_800_123
    assert made.timestamp_ms == int(made.timestamp.timestamp() * 1000)


@requirement("EV-13")
def test_a_time_of_another_zone_becomes_utc_and_one_without_is_refused():
    fields = event().to_dict()
    restored = Event.from_dict({**fields, "timestamp": "2026-01-01T14:00:00+02:00"})
    assert restored.timestamp == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert restored.timestamp.utcoffset() == timedelta(0)
    with pytest.raises(EventFormatError, match="a time with its zone"):
        Event.from_dict({**fields, "timestamp": "2026-01-01T14:00:00"})


def test_a_timestamp_in_another_zone_is_written_in_utc():
    there = datetime(2026, 1, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert event(timestamp=there).to_dict()["timestamp"] == "2026-01-01T12:00:00Z"


REQUIRED = ["event", "connection", "scope", "timestamp", "monotonic", "epoch", "seq", "event_id"]


@requirement("EV-01")
@pytest.mark.parametrize("field", [*REQUIRED, "severity", "data"])
def test_a_missing_field_is_named(field):
    fields = event().to_dict()
    del fields[field]
    with pytest.raises(EventFormatError) as caught:
        Event.from_dict(fields)
    assert (caught.value.code, caught.value.field) == ("missing_field", field)
    assert repr(field) in str(caught.value)


@requirement("EV-01")
@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("event", "circuit_open", "one of state_change"),
        ("connection", 5, "a text"),
        ("scope", 5, "a text"),
        ("timestamp", 5, "a time in ISO 8601"),
        ("timestamp", "yesterday", "a time in ISO 8601"),
        ("monotonic", "5", "a number"),
        ("monotonic", True, "a number"),
        ("epoch", "7", "a whole number"),
        ("epoch", 7.5, "a whole number"),
        ("seq", True, "a whole number"),
        ("severity", "awful", "one of debug, info, warning, error, critical"),
        ("data", [], "a JSON object"),
        ("redelivered", 1, "true or false"),
        ("schema_version", "new", 'a version such as "1.0"'),
        ("schema_version", 1.0, 'a version such as "1.0"'),
    ],
)
def test_a_wrong_field_is_named_with_what_it_should_be(field, value, says):
    with pytest.raises(EventFormatError) as caught:
        Event.from_dict({**event().to_dict(), field: value})
    assert caught.value.field == field
    assert caught.value.code == "invalid_field"
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", b"\xff"])
def test_what_is_no_json_object_is_refused(text):
    with pytest.raises(EventFormatError):
        Event.from_json(text)


@requirement("EV-02")
def test_a_later_minor_version_is_read_and_its_fields_and_kinds_left_alone():
    fields = event().to_dict()
    later = {**fields, "schema_version": "1.7", "weather": "fine", "event": "circuit_painted"}
    restored = Event.from_dict(later)
    assert (restored.schema_version, restored.event) == ("1.7", "circuit_painted")
    assert Event.from_dict({**fields, "weather": "fine"}) == event()


@requirement("EV-02")
def test_another_major_version_is_refused_by_name():
    with pytest.raises(EventFormatError) as caught:
        Event.from_dict({**event().to_dict(), "schema_version": "2.0"})
    assert caught.value.code == "unsupported_schema_version"


class Lock:
    def __repr__(self) -> str:
        return "<a lock>"


def test_what_json_cannot_carry_is_written_as_what_comes_nearest():
    data = Fields(
        wait=inf,
        nothing=nan,
        lock=Lock(),
        names={"b"},
        pair=(1, State.OPEN),
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert event(data=data).to_dict()["data"] == {
        "wait": None,
        "nothing": None,
        "lock": "<a lock>",
        "names": ["b"],
        "pair": [1, "open"],
        "at": "2026-01-01T00:00:00Z",
    }


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Half:
    def __repr__(self) -> str:
        return "\ud800"


def endless() -> list[object]:
    part: list[object] = []
    part.append(part)
    return part


def deep() -> list[object]:
    part: list[object] = []
    for _ in range(5_000):
        part = [part]
    return part


@pytest.mark.parametrize(
    "value",
    [10**5_000, Broken(), Half(), {"\ud800": 1}, {Broken(): 1}, endless(), deep(), b"\xff"],
    ids=["digits", "no repr", "half a pair", "half a key", "bad key", "endless", "deep", "bytes"],
)
def test_there_is_no_value_that_cannot_be_written_and_read_again(value):
    written = event(data=Fields(current=value)).to_json()
    written.encode()
    assert Event.from_json(written).to_json() == written


@pytest.mark.parametrize("key", ["k" * 30_000, "\ud800"])
def test_a_key_is_cut_and_written_like_a_value(key):
    written = event(data=Fields({key: 1, "reason": "kept"})).to_json()
    assert len(written.encode()) < LIMIT
    assert Event.from_json(written).data["reason"] == "kept"


def test_events_that_were_cut_are_counted():
    before = reading(TRUNCATED)[()]
    event(data=Fields(reason="x" * LIMIT)).to_json()
    event(data=Fields(reason="short")).to_json()
    assert reading(TRUNCATED)[()] == before + 1


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 400])
def test_a_number_that_nobody_could_write_again_is_refused(number):
    text = json.dumps({**event().to_dict(), "monotonic": "here"}).replace('"here"', number)
    with pytest.raises(EventFormatError):
        Event.from_json(text)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000])
def test_text_that_is_nested_without_end_is_refused_in_few_words(text):
    with pytest.raises(EventFormatError) as caught:
        Event.from_json(text)
    assert len(str(caught.value)) < 400


def test_data_beyond_the_limit_is_cut_and_says_so():
    data = Fields(reason="x" * LIMIT, failure_count=3, rows=list(range(LIMIT)))
    cut = event(data=data).to_dict()["data"]
    assert cut["truncated"] is True
    assert cut["failure_count"] == 3
    assert len(json.dumps(cut).encode()) <= LIMIT
    assert cut["reason"].startswith("xxx")


def test_data_with_very_many_keys_stays_below_the_limit():
    data = Fields({f"key{number}": "x" * 900 for number in range(200)})
    cut = event(data=data).to_dict()["data"]
    assert cut["truncated"] is True
    assert len(json.dumps(cut).encode()) <= LIMIT


def test_an_error_of_the_format_is_a_value_error():
    assert issubclass(EventFormatError, ValueError)
