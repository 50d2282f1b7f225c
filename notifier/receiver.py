"""For those who collect events: tells repeats, gaps and strange times."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, cast

import attrs

from brama.circuits import Event, EventFormatError, seconds, whole

from .cloudevents import from_http
from .numbers import Numbers

__all__ = ["Received", "Receiver"]


@attrs.frozen
class Received:
    """An event, and what its receiver should know of it.

    Attributes:
        event: as it came.
        repeat: it was here before: the same `event_id`.
        missing: critical events of its connection that should have come before it.
        out_of_sequence: a later event of its connection was here before; it is no repeat.
        clock_skew: it is from the future, by more than the tolerance.
    """

    event: Event
    repeat: bool = False
    missing: int = 0
    out_of_sequence: bool = False
    clock_skew: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The words for all that is out of the ordinary, for a log or an index."""
        found = {
            "repeat": self.repeat,
            "gap": self.missing > 0,
            "out_of_sequence": self.out_of_sequence,
            "clock_skew": self.clock_skew,
        }
        return tuple(word for word, true in found.items() if true)


class Receiver:
    """Looks at each event that comes in, from any number of processes.

    Example:
        >>> receiver = Receiver()
        >>> received = receiver.read(line)
        >>> if received is not None and not received.repeat:
        ...     store(received.event)
        >>> if received is not None and received.missing:
        ...     print(received.missing, "events before it did not come")
        >>> receiver.rejected
        Counter({('invalid_field', 'severity'): 1})

    No event is ever refused: what to do about a flag is the receiver's business. What is no event
    is dropped and counted.

    Args:
        remember: how many ids are kept to know repeats by, 10 000; the oldest go first.
        tolerance: seconds by which an event may be from the future, 300.0.
        wall: POSIX time in seconds.

    Attributes:
        rejected: how many messages were no event, by what is wrong (`EventFormatError.code`) and
            with which field; an empty one is the whole.

    Threads: one at a time.
    """

    def __init__(
        self,
        *,
        remember: int = 10_000,
        tolerance: float | timedelta = 300.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._remember = whole("remember", remember, least=1)
        self._tolerance = seconds("tolerance", tolerance, zero=True)
        self._wall = wall
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._numbers = Numbers()
        self.rejected: Counter[tuple[str, str]] = Counter()

    def read(
        self, message: str | bytes | Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Received | None:
        """What is to be known of the event in `message`; None if it is none, which is counted.

        Args:
            message: a line of JSON, its plain data, or the body of an HTTP message.
            headers: of that HTTP message, which carries a CloudEvent.
        """
        try:
            if headers is not None:
                event = from_http(headers, cast("str | bytes", message))
            elif isinstance(message, str | bytes):
                event = Event.from_json(message)
            else:
                event = Event.from_dict(message)
        except EventFormatError as error:
            self.rejected[error.code, error.field] += 1
            return None
        return self.see(event)

    def see(self, event: Event) -> Received:
        """What is to be known of `event`, the next to come in."""
        skew = event.timestamp.timestamp() > self._wall() + self._tolerance
        if event.event_id in self._ids:
            return Received(event, repeat=True, clock_skew=skew)
        self._ids[event.event_id] = None
        if len(self._ids) > self._remember:
            self._ids.popitem(last=False)
        step = self._numbers.follow(event)
        return Received(
            event,
            # Whoever begins to listen has missed nothing by it.
            missing=0 if step.first else step.missing,
            out_of_sequence=step.behind,
            clock_skew=skew,
        )
