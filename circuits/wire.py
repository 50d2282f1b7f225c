"""The form in which events leave the process: plain data and JSON, both ways.

It knows attrs classes and nothing of events, which know it. cattrs is loaded at the first use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from brama.telemetry import ConfigError, truncations, unknown_kinds

from .connection_kind import ConnectionKind, kind_named
from .errors import EventFormatError
from .fields import Fields
from .state import State

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["LIMIT", "VERSION", "dump", "dump_json", "load", "load_json"]

VERSION = "1.0"
"""Of the fields: a later 1.x only adds some."""

LIMIT = 20_000
"""Bytes of JSON that the data of one event may take; longer values are cut."""

CUT = 1_000
DEPTH = 32
STATES = frozenset({"previous_state", "new_state", "state"})

T = TypeVar("T")


def dump(value: Any) -> dict[str, Any]:
    """An instance of an attrs class as plain data that JSON can carry."""
    return cast("dict[str, Any]", _converter().unstructure(value))


def dump_json(value: Any) -> str:
    """`dump` as one line of JSON."""
    return json.dumps(dump(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def load(cls: type[T], fields: Mapping[str, Any]) -> T:
    """The instance of `cls` that `dump` described; fields that it does not know are left.

    Raises:
        EventFormatError: a field is missing or wrong, or the version is another than 1.x.
    """
    from cattrs import ClassValidationError

    if not isinstance(fields, Mapping):
        raise EventFormatError("", "a JSON object", fields)
    _check_version(fields.get("schema_version", VERSION))
    for field in attrs.fields(cast("Any", cls)):
        if field.default is attrs.NOTHING and field.name not in fields:
            raise EventFormatError(field.name, "it has no default", None, "missing_field")
    try:
        return _converter().structure(fields, cls)
    except ClassValidationError as errors:
        fields_wrong, rest = errors.group_exceptions()
        if not fields_wrong and isinstance(rest[0], ConfigError):  # by the class itself
            wrong = rest[0]
            raise EventFormatError(wrong.option, wrong.expected, wrong.got) from None
        first, note = fields_wrong[0]
        if isinstance(first, EventFormatError):
            raise EventFormatError(note.name, first.expected, first.got) from None
        raise EventFormatError(note.name, "a valid value", fields.get(note.name)) from None


def load_json(cls: type[T], text: str | bytes) -> T:
    """The instance of `cls` that `dump_json` described.

    Raises:
        EventFormatError: as `load`, or it is no JSON.
    """
    try:
        fields = json.loads(text, parse_constant=_no_constant)
    except (ValueError, TypeError, RecursionError):
        raise EventFormatError("", "JSON text", text) from None
    return load(cls, fields)


def _no_constant(name: str) -> None:
    # Python reads NaN and Infinity, which no JSON has and nobody could write again.
    raise ValueError(name)


def _check_version(version: Any) -> None:
    if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+", version):
        raise EventFormatError("schema_version", 'a version such as "1.0"', version)
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        raise EventFormatError(
            "schema_version", "1.x, which this release reads", version, "unsupported_schema_version"
        )


@cache
def _converter() -> Converter:
    from cattrs import Converter

    made = Converter()
    for kind, words in ((str, "a text"), (int, "a whole number"), (bool, "true or false")):
        made.register_structure_hook(kind, _exactly(kind, words))
    made.register_structure_hook(ConnectionKind, _kind)
    made.register_structure_hook(float, _number)
    made.register_structure_hook(datetime, _time)
    made.register_unstructure_hook(datetime, _iso)
    made.register_structure_hook_func(lambda kind: kind == Mapping[str, Any], _fields)
    made.register_unstructure_hook_func(lambda kind: kind == Mapping[str, Any], _bounded)
    return made


def _exactly(kind: type, words: str) -> Any:
    def check(value: Any, wanted: Any) -> Any:
        if issubclass(wanted, Enum):  # a Severity is a text, too
            try:
                return wanted(value)
            except ValueError:
                names = ", ".join(str(one.value) for one in wanted)
                raise EventFormatError("", f"one of {names}", value) from None
        if type(value) is not kind:
            raise EventFormatError("", words, value)
        return value

    return check


def _kind(value: Any, _type: Any) -> ConnectionKind:
    if not isinstance(value, str) or not value:
        raise EventFormatError("", "one of " + ", ".join(ConnectionKind), value)
    found = kind_named(value)
    if found is None:  # of a later 1.x, or of somebody else's
        unknown_kinds.add()
        return ConnectionKind.OTHER
    return found


def _number(value: Any, _type: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EventFormatError("", "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise EventFormatError("", "a finite number", value)
    return number


def _time(value: Any, _type: Any) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise EventFormatError("", "a time in ISO 8601", value) from None
    if time.tzinfo is None:
        raise EventFormatError("", "a time with its zone, in UTC", value)
    return time.astimezone(UTC)


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _fields(value: Any, _type: Any) -> Fields:
    if not isinstance(value, dict):
        raise EventFormatError("", "a JSON object", value)
    return Fields((key, _state(part) if key in STATES else part) for key, part in value.items())


def _state(value: Any) -> Any:
    try:
        return State(value)
    except ValueError:  # of a later 1.x
        return value


def _bounded(value: Mapping[str, Any]) -> dict[str, Any]:
    plain = {_text(key): _plain(part) for key, part in value.items()}
    if _size(plain) <= LIMIT:
        return plain
    truncations.add()
    short: dict[str, Any] = {}
    used = 0
    for key, part in plain.items():
        if _size(part) > CUT:
            part = _cut_mapping(part) if isinstance(part, dict) else _cut(part, CUT)
        size = _size({key: part})
        if used + size < LIMIT - CUT:
            short[key] = part
            used += size
    return {**short, "truncated": True}


def _cut(value: Any, most: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[: most - 1] + "…"


def _cut_mapping(value: Mapping[str, Any]) -> dict[str, Any]:
    """What is short in it stays whole: one long value must not cost the name of the device."""
    kept: dict[str, Any] = {}
    used = 0
    for key, part in value.items():
        short = _cut(part, CUT // 4) if _size(part) > CUT // 4 else part
        size = _size({key: short})
        if used + size <= 4 * CUT:
            kept[key] = short
            used += size
    return kept


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


def _plain(value: Any, depth: int = 0) -> Any:
    """What JSON can carry, and `repr` of anything else.

    It raises for nothing: one value that cannot be written would keep a journal from writing
    whatever comes behind it.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):  # Python refuses to write those of very many digits
        return value if value.bit_length() <= 1024 else f"{value:#x}"
    if isinstance(value, str):  # a State is one
        return _text(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, datetime):
        return _iso(value) if value.tzinfo else value.isoformat()
    if depth >= DEPTH and isinstance(value, Mapping | list | tuple | set | frozenset):
        return "…"  # perhaps a part of itself
    if isinstance(value, Mapping):
        return {_text(key): _plain(part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part, depth + 1) for part in value]
    return _text(value)


def _text(value: Any) -> str:
    """A text as it is, but for half surrogate pairs, which have no UTF-8; else the `repr`."""
    try:
        text = str(value) if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise whatever it likes
        text = f"<{type(value).__qualname__} without a repr>"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
