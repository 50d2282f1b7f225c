"""The published JSON Schema of an event, made from the class and the lists of the code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast, get_type_hints

import attrs

from brama.circuits import (
    ALWAYS_ALLOWED,
    DATA,
    EVENTS,
    ConnectionKind,
    Event,
    EventKind,
    Severity,
)

__all__ = ["SCHEMA_ID", "event_schema"]

SCHEMA_ID = "urn:brama:schema:event:1"
"""Names the schema in events that travel, as the ``dataschema`` of CloudEvents."""

_PLAIN: Mapping[Any, Mapping[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str | None: {"type": ["string", "null"]},
    int | None: {"type": ["integer", "null"]},
    datetime: {"type": "string", "format": "date-time"},
    Severity: {"enum": [severity.value for severity in Severity]},
    ConnectionKind: {"enum": [kind.value for kind in ConnectionKind]},
    Mapping[str, Any]: {"type": "object"},
}

_SHARPER: Mapping[str, Mapping[str, Any]] = {
    "event": {"enum": list(EVENTS)},
    "connection": {"maxLength": 255},
    "epoch": {"minimum": 0},
    "event_id": {"minLength": 1},
    "schema_version": {"pattern": r"^1\.\d+$"},
    "n": {"minimum": 0},
}


def event_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `Event.to_dict`.

    Example:
        >>> event_schema()["properties"]["severity"]
        {'enum': ['debug', 'info', 'warning', 'error', 'critical']}

    Fields that it does not name are allowed: a later 1.x may add some.
    """
    fields = attrs.fields(cast("Any", Event))
    hints = get_type_hints(Event)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "An event of Brama",
        "type": "object",
        "properties": {
            field.name: {**_PLAIN[hints[field.name]], **_SHARPER.get(field.name, {})}
            for field in fields
        },
        "required": [field.name for field in fields if field.default is attrs.NOTHING],
        "allOf": [
            {
                "if": {"properties": {"event": {"const": kind.name}}},
                "then": {
                    "properties": {
                        "seq": {"type": "integer" if kind.critical else "null"},
                        "data": {"$ref": f"#/$defs/{kind.name}"},
                    }
                },
            }
            for kind in EVENTS.values()
        ],
        "$defs": {kind.name: _data(kind) for kind in EVENTS.values()},
    }


def _data(kind: EventKind) -> dict[str, Any]:
    return {
        "title": kind.when,
        "type": "object",
        "properties": {name: dict(DATA[name].schema) for name in (*kind.data, *ALWAYS_ALLOWED)},
        # Data that was too long to travel says so and may lack keys.
        "if": {"not": {"required": ["truncated"]}},
        "then": {"required": [name for name in kind.data if not DATA[name].added]},
    }
