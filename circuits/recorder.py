"""The part of a breaker that keeps its log: what happened, numbered, until it is published."""

from __future__ import annotations

from typing import Any

from brama.telemetry import Context, SpanContext, capture, span_context_of, watching

from .connection_kind import ConnectionKind
from .events import CRITICAL, EVENTS
from .fields import Fields
from .log import Log, Record
from .shared import Shared, Stripe
from .state import State
from .tracing import note_move
from .vitals import Vitals

__all__ = ["Recorder"]

UNASKED: Any = object()
"""In the place of a tracing context: nobody has asked for it yet."""

GATED = (State.OPEN, State.FORCED_OPEN)  # no set: the hash of an enum is a call of Python's
"""The states that refuse every call."""


class Recorder(Vitals):
    """Numbers what happens to one circuit and keeps it for the connection actor.

    Threads: the methods with an underscore run under the lock, which the others take.
    """

    # Plain slots, here and in the classes above: a million of these must fit into a process.
    __slots__ = (
        "_critical",
        "_events",
        "_mask",
        "_mask_version",
        "epoch",
        "key",
        "kind",
        "lock",
        "log",
        "scope",
        "shared",
        "turn",
    )

    def __init__(self, name: str, scope: str | None, shared: Shared) -> None:
        self.name = name
        self.scope = scope
        self.kind = ConnectionKind.OTHER
        # Under which everybody who keeps a table of circuits finds it: one tuple for them all.
        self.key = (scope, name)
        self.shared = shared
        self.lock: Stripe = shared.stripe(self.key)
        self.log: Log | None = None
        # What refused calls link to, while tracing is on: the record of the transition that closed
        # the gate; once its span is made, what names that.
        self.turn: Record | SpanContext | None = None
        self._mask = 0
        self._mask_version = -1

    def _begin_epoch(self, epoch: int, critical: int) -> None:
        """Number the events anew, and the critical ones after those of a journal."""
        self.epoch = epoch
        self._events = 0  # all that were numbered in this epoch by this process
        self._critical = critical  # the critical ones among them

    def pending(self) -> list[Record]:
        """The records that are not yet published, oldest first; the bell may ring again."""
        with self.lock:
            found = self._pending()
        if self.shared.asked:
            self.shared.settle(ours=True)
        return found

    def _pending(self) -> list[Record]:
        log = self.log
        if log is None:
            return []
        log.rung = False
        log.trim()
        self._shorten_turn()
        if not log.records:
            if not log.lost:
                self.log = None  # most open circuits have nothing to tell for minutes
                return []
            # Nothing came after what was dropped, and perhaps nothing will for hours.
            self._append((), {}, self.shared.clock())
            self._events += 1  # a number of its own, by which the id of the gap is known
        return list(log.records)

    def take(self) -> list[Record]:
        """The records that the registry is to publish next; from now on they are under way.

        The same ones again until they are published, for a registry may end over them.
        """
        with self.lock:
            log = self.log
            found = [] if log is None else log.take()
        if self.shared.asked:
            self.shared.settle(ours=True)
        return found

    def published(self) -> bool:
        """Whether everything in the log has reached whoever wants it."""
        with self.lock:
            found = self.log is None or all(record.published for record in self.log.records)
        if self.shared.asked:
            self.shared.settle(ours=True)
        return found

    def _wants(self, name: str) -> bool:
        interest = self.shared.interest
        version = interest.version
        if version != self._mask_version:
            # The version is read before the mask: a change in between only makes the next
            # look refresh once more.
            self._mask = interest.mask(self.name, self.scope, self.kind)
            self._mask_version = version
        return bool(self._mask & EVENTS[name].bit)

    def _append(
        self,
        events: tuple[str, ...],
        fields: dict[str, Any],
        now: float,
        wall: float | None = None,
        context: Context | None = UNASKED,
    ) -> None:
        critical = len(events) > 0 and events[0] in CRITICAL
        shared = self.shared
        # By position: a transition waits for it.
        record = Record(
            shared.source,
            self.name,
            self.scope,
            self.kind,
            events,
            self.epoch,
            self._events + 1,
            self._critical + 1 if critical else None,
            shared.wall() if wall is None else wall,
            now,
            Fields(fields),
            capture() if context is UNASKED else context,
            shared.interest.version,
            shared.severities,
        )
        log = self.log
        if log is None:
            self.log = Log(record)
        else:
            log.append(record)
        if "new_state" in fields:
            self._turn(record, fields["new_state"])
            if watching.calls:
                note_move(self, record)
        told = len(events)
        self._events += told
        if critical:
            self._critical += told

    def _turn(self, record: Record, state: State) -> None:
        if state in GATED:
            if record.context is None:
                self.turn = None  # nobody is tracing
            else:
                self.turn = record
                record.evidence = self._evidence()
        elif state is not State.HALF_OPEN:
            self.turn = None

    def _forget_turn(self) -> None:
        self.turn = None

    def _shorten_turn(self) -> None:
        """Keep no more of the transition than what names its span, once that is made.

        A circuit may be open for days, and a context holds what the application has hung on it: the
        request that it was serving, the span of an SDK.
        """
        turn = self.turn
        if isinstance(turn, Record) and turn.traced:
            self.turn = span_context_of(turn.context)

    def _evidence(self) -> tuple[SpanContext, ...]:
        """The spans of the failing calls behind the present state."""
        return ()

    def _unrung(self) -> bool:
        log = self.log
        if log is None or log.rung or not log.records:
            return False
        log.rung = True
        return True
