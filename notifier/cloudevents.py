"""Events as CloudEvents 1.0, in the structured and the binary form of its HTTP binding, both ways.

    >>> headers, body = to_binary(event)
    >>> headers["ce-type"], headers["ce-subject"]
    ('brama.circuit_opened', 'payments/payment_api')
    >>> from_http(headers, body) == event
    True

The body carries the whole event, as `Event.to_dict` has it; the attributes repeat what routers
look at. The trace travels as ``traceparent``, without baggage: what a caller has put into that is
not for the receivers of events.

Source: CloudEvents 1.0.2 core, its HTTP binding and JSON format; its extensions "distributed
    tracing" and "sequence".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from brama.circuits import Event, EventFormatError

from .event_schema import SCHEMA_ID

__all__ = ["BATCH", "STRUCTURED", "from_dict", "from_http", "to_batch", "to_binary", "to_dict"]
__all__ += ["to_structured"]

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
TYPE = "brama."
REQUIRED = ("specversion", "id", "source", "type")

# What a header may carry as it is: printable ASCII without blank, quote and percent sign.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def _attributes(event: Event) -> dict[str, str]:
    found = {
        "specversion": "1.0",
        "id": event.event_id,
        "source": f"/brama/{quote(event.source, safe='')}",
        "type": TYPE + event.event,
        "subject": _subject(event),
        "time": event.timestamp.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "dataschema": SCHEMA_ID,
        "severity": str(event.severity),
        "kind": str(event.kind),
        # The epoch has more than the 32 bits that the Integer of CloudEvents may have.
        "epoch": str(event.epoch),
        "sequence": "" if event.seq is None else str(event.seq),
        "traceparent": event.trace or "",
    }
    return {name: value for name, value in found.items() if value}  # none of them may be empty


def _subject(event: Event) -> str:
    parts = [event.connection] if event.scope is None else [event.scope, event.connection]
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def to_dict(event: Event) -> dict[str, Any]:
    """The JSON format of CloudEvents, as plain data."""
    return {**_attributes(event), "data": event.to_dict()}


def to_structured(event: Event) -> tuple[dict[str, str], bytes]:
    """Headers and body: everything in the body."""
    return {"content-type": STRUCTURED}, _body(to_dict(event))


def to_binary(event: Event) -> tuple[dict[str, str], bytes]:
    """Headers and body: the attributes in headers, the event in the body."""
    attributes = _attributes(event)
    headers = {"content-type": attributes.pop("datacontenttype")}
    for name, value in attributes.items():
        headers[f"ce-{name}"] = quote(value, safe=_SAFE)
    return headers, _body(event.to_dict())


def to_batch(events: Iterable[Event]) -> tuple[dict[str, str], bytes]:
    """Headers and body of many at once, in their order."""
    return {"content-type": BATCH}, _body([to_dict(event) for event in events])


def _body(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def from_http(headers: Mapping[str, str], body: str | bytes) -> Event:
    """The event in an HTTP message, structured or binary as its content type says.

    Raises:
        EventFormatError: an attribute is missing or wrong (`EventFormatError.field` names it; a
            server answers 400), or what it carries is no event of Brama.
    """
    given = {name.lower(): value for name, value in headers.items()}
    content_type = given.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == STRUCTURED:
        return from_dict(_json(body))
    if content_type.lower().startswith("application/cloudevents"):
        raise EventFormatError("content-type", f"{STRUCTURED} or binary", content_type)
    attributes: dict[str, Any] = {
        name[3:]: unquote(value) for name, value in given.items() if name.startswith("ce-")
    }
    _check(attributes)
    return _event(attributes, _json(body))


def from_dict(message: Mapping[str, Any]) -> Event:
    """The event in the JSON format of CloudEvents.

    Raises:
        EventFormatError: see `from_http`.
    """
    if not isinstance(message, Mapping):
        raise EventFormatError("", "a JSON object", message)
    _check(message)
    return _event(message, message.get("data"))


def _check(attributes: Mapping[str, Any]) -> None:
    for name in REQUIRED:
        if name not in attributes:
            raise EventFormatError(name, "CloudEvents requires it", None, "missing_field")
        if not isinstance(attributes[name], str) or not attributes[name]:
            raise EventFormatError(name, "a text that is not empty", attributes[name])
    if attributes["specversion"] != "1.0":
        raise EventFormatError("specversion", '"1.0"', attributes["specversion"])
    if not attributes["type"].startswith(TYPE):
        raise EventFormatError("type", f"one that begins with {TYPE!r}", attributes["type"])


def _event(attributes: Mapping[str, Any], data: Any) -> Event:
    if not isinstance(data, Mapping):
        raise EventFormatError("data", "the JSON object of an event", data)
    event = Event.from_dict(data)
    # Whoever routes by the attributes and whoever reads the event must mean the same one.
    for name, value in (("id", event.event_id), ("type", TYPE + event.event)):
        if attributes[name] != value:
            raise EventFormatError(
                name, f"that of the event it carries, {value!r}", attributes[name]
            )
    return event


def _json(body: str | bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, TypeError, RecursionError):
        raise EventFormatError("data", "JSON text", body) from None
