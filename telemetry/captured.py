"""Spans and log events that a test has captured, as plain dicts; see `capturing`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

from . import names
from .foreign import SpanContext

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk.trace import ReadableSpan
else:
    ReadableLogRecord = ReadableSpan = Any

__all__ = ["Arrivals", "CapturedLogs", "CapturedSpans"]

TIMES: Final = frozenset(
    {names.LAG, names.STATE_DURATION, names.RETRY_AFTER, names.EXCEPTION_STACKTRACE}
)
"""Attributes that are another value in each run; left out unless asked for."""


class Arrivals:
    """What has arrived so far, from any thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()  # Invariant: `items` is touched under it only.
        self.items: list[Any] = []

    def add(self, item: Any) -> None:
        with self.changed:
            self.items.append(item)
            self.changed.notify_all()

    def now(self) -> list[Any]:
        with self.changed:
            return self.items.copy()

    def clear(self) -> None:
        with self.changed:
            self.items.clear()

    def wait(self, enough: Callable[[], bool], timeout: float) -> bool:
        with self.changed:
            return self.changed.wait_for(enough, timeout)


class _Captured(Sequence[dict[str, Any]]):
    """Dicts of what has arrived, made anew at each look."""

    _key = "name"

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    def as_dicts(self, *, times: bool = False) -> list[dict[str, Any]]:
        raise NotImplementedError

    @property
    def names(self) -> list[str]:
        """The names, in the same order."""
        return [each[self._key] for each in self]

    def named(self, name: str) -> list[dict[str, Any]]:
        """Those of this name."""
        return [each for each in self if each[self._key] == name]

    def one(self, name: str) -> dict[str, Any]:
        """The only one of this name; fails the test if there is none, or another one."""
        __tracebackhide__ = True
        found = self.named(name)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} of {name!r} and not one, among: {self.names}")
        return found[0]

    def wait(self, count: int = 1, timeout: float = 5.0) -> list[dict[str, Any]]:
        """The first `count`, once they are there: what follows an event comes a moment later.

        Raises:
            TimeoutError: there are fewer after `timeout` seconds; the text names them.
        """
        if not self._arrivals.wait(lambda: len(self) >= count, timeout):
            raise TimeoutError(f"{len(self)} of {count} after {timeout} s: {self.names}")
        return self[:count]

    def wait_for(self, *wanted: str, timeout: float = 5.0) -> list[dict[str, Any]]:
        """The first of each of these names, once they are all there.

        Raises:
            TimeoutError: one is missing after `timeout` seconds.
        """
        if not self._arrivals.wait(lambda: set(wanted) <= set(self.names), timeout):
            missing = [name for name in wanted if name not in self.names]
            raise TimeoutError(f"no {', '.join(missing)} after {timeout} s, but: {self.names}")
        return [self.named(name)[0] for name in wanted]

    def clear(self) -> None:
        """Forget those that have arrived."""
        self._arrivals.clear()

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        return self.as_dicts()[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.as_dicts())

    def __len__(self) -> int:
        return len(self._arrivals.now())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.names}>"


class CapturedSpans(_Captured):
    """The spans that have ended so far: each behind its parent, and else as they began.

    Each is a dict: ``name``, ``id``, ``parent``, ``trace`` (small numbers, the same in every run),
    ``kind``, ``status``, ``attributes``, ``events``, ``links``. Nothing in it depends on how long
    anything took; `as_dicts(times=True)` has that, too, and `raw` the SDK's own objects.

    A parent that is not among them, because it was made by another provider or goes on, has a
    number as well.

    Threads: any.
    """

    @property
    def raw(self) -> list[ReadableSpan]:
        """The SDK's own objects, in the same order."""
        spans: list[ReadableSpan] = self._arrivals.now()
        below: dict[int | None, list[ReadableSpan]] = {}
        known = {_id(span) for span in spans}
        for span in sorted(spans, key=lambda span: span.start_time or 0):
            parent = None if span.parent is None else span.parent.span_id
            below.setdefault(parent if parent in known else None, []).append(span)
        ordered: list[ReadableSpan] = []
        waiting = below.get(None, [])[::-1]
        while waiting:
            span = waiting.pop()
            ordered.append(span)
            waiting += below.get(_id(span), [])[::-1]
        return ordered

    def as_dicts(self, *, times: bool = False) -> list[dict[str, Any]]:
        """The spans as dicts.

        Args:
            times: with ``start`` and ``end`` (nanoseconds since the epoch), and with attributes
                that differ from run to run.
        """
        ids, traces, events = _Numbers(), _Numbers(), _Numbers()
        made = []
        for span in self.raw:
            attributes = _attributes(span.attributes, times=times)
            if names.EVENT_ID in attributes and not times:
                attributes[names.EVENT_ID] = events.of(attributes[names.EVENT_ID])
            one: dict[str, Any] = {
                "name": span.name,
                "trace": traces.of(_context(span).trace_id),
                "parent": None if span.parent is None else ids.of(span.parent.span_id),
                "id": ids.of(_id(span)),
                "kind": span.kind.name,
                "status": span.status.status_code.name,
                "attributes": attributes,
                "events": [
                    {"name": each.name, "attributes": _attributes(each.attributes, times=times)}
                    for each in span.events
                ],
                "links": [
                    {
                        "id": ids.of(each.context.span_id),
                        "attributes": _attributes(each.attributes, times=times),
                    }
                    for each in span.links
                ],
            }
            if times:
                one |= {"start": span.start_time, "end": span.end_time}
            made.append(one)
        return made

    def tree(self) -> str:
        """The spans as an indented list of names, each below its parent."""
        depths: dict[int, int] = {}
        lines: list[str] = []
        for span in self:
            depth = depths[span["id"]] = depths.get(span["parent"], -1) + 1
            lines.append(f"{'  ' * depth}{span['name']}")
        return "\n".join(lines)


class CapturedLogs(_Captured):
    """The log events that have been emitted so far, in order.

    Each is a dict: ``event``, ``severity``, ``body``, ``attributes``, and ``span``, the name of the
    span that it belongs to if that has ended.

    Threads: any.
    """

    _key = "event"

    def __init__(self, arrivals: Arrivals, spans: CapturedSpans) -> None:
        super().__init__(arrivals)
        self._spans = spans

    @property
    def raw(self) -> list[ReadableLogRecord]:
        """The SDK's own objects."""
        return self._arrivals.now()

    def as_dicts(self, *, times: bool = False) -> list[dict[str, Any]]:
        """The log events as dicts; `times` as with spans."""
        of = {_id(span): span.name for span in self._spans.raw}
        return [
            {
                "event": each.log_record.event_name,
                "severity": each.log_record.severity_text,
                "body": each.log_record.body,
                "span": of.get(each.log_record.span_id),
                "attributes": _attributes(each.log_record.attributes, times=times),
            }
            for each in self.raw
        ]


def _context(span: ReadableSpan) -> SpanContext:
    context: SpanContext | None = span.context
    assert context is not None  # it is only while the SDK makes the span
    return context


def _id(span: ReadableSpan) -> int:
    return _context(span).span_id


class _Numbers:
    """Small numbers for large ones, in the order in which these are first met."""

    def __init__(self) -> None:
        self._known: dict[object, int] = {}

    def of(self, thing: object) -> int:
        return self._known.setdefault(thing, len(self._known) + 1)


def _attributes(attributes: Mapping[str, Any] | None, *, times: bool) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in (attributes or {}).items()
        if times or name not in TIMES
    }
