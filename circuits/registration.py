"""How a circuit comes and goes: registered, removed by hand or for being idle, after a fork."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

from .connection_kind import ConnectionKind
from .controls import Controls
from .feed import CAME, WENT
from .generation import NOT_WATCHED, value
from .log import Record
from .machine import PASSING
from .policy import Policy
from .rare import NEVER
from .state import State

__all__ = ["Registration"]


class Registration(Controls):
    """A breaker that is registered and removed.

    Threads: as each method says; those with an underscore under the lock.
    """

    __slots__ = ("_mark", "_used_at")

    def install(
        self,
        policy: Policy,
        options: Mapping[str, Any],
        metadata: Mapping[str, Any],
        kind: ConnectionKind = ConnectionKind.OTHER,
    ) -> None:
        super().install(policy, options, metadata, kind)
        # Of the cleanup alone: what had been counted when it last looked, and when it last saw
        # that something had happened.
        self._mark = 0
        self._used_at = self.shared.clock()

    def open_gate(self) -> bool:
        """Be registered and admit calls; whether the bell is to be rung.

        Threads: under the lock of the catalogue, which is why the caller rings.
        """
        now = self.shared.clock()
        with self.lock:
            self.registered = True
            entry = (CAME, self.key, self.state, self.state, None, self.registered_at)
            self.shared.tray.leave(entry)
            self._announce(("registration", "connection_registered"), now)
            self._readmit()
            return self._unrung()

    def shut_gate(self, event: str) -> bool:
        """Be unregistered: admit no call until `open_gate`; outcomes under way become late."""
        now = self.shared.clock()
        with self.lock:
            self._shut(event, now)
            self._free_place()
            wakes = self._wakes()
            # An actor that manages it has nothing to wait for any more.
            ring = self._unrung() or self.state is not State.CLOSED
        for wake in wakes:  # there is no verdict to wait for any more
            wake()
        return ring

    def _shut(self, event: str, now: float) -> None:
        self.admission = None
        self.meter = None
        self.reopen_at = NEVER
        self.registered = False
        entry = (WENT, self.key, self.state, self.state, None, self.shared.wall())
        self.shared.tray.leave(entry)
        self._announce((event,), now)
        self._next_generation(now)

    def _announce(self, events: tuple[str, ...], now: float) -> None:
        wanted = tuple(name for name in events if self._wants(name))
        if wanted:
            policy = self.policy
            fields = {
                "state": self.state,
                "failure_threshold": policy.failure_threshold,
                "expiry": policy.expiry,
            }
            self._append(wanted, fields, now)

    def reset_after_fork(self) -> None:
        """In the child: the calls, probes and log of the parent are not ours."""
        self._begin_epoch(self.shared.next_epoch(), 0)
        self.log = None
        self._shorten_turn()
        if isinstance(self.turn, Record):
            self._forget_turn()  # its span is the parent's to make
        self._failures = self._failure_count()
        self._next_generation(self.shared.clock(), keep=True)
        self._retired = self._totals = None
        self.refused = count()
        rare = self._rare
        if rare is not None:
            rare.asked = rare.held = rare.outcomes = rare.waiters = None
            rare.watching = rare.wake = False
        self._readmit()

    def bypassed(self) -> None:
        """Let calls in anew, as `Shared.bypass` was set or taken away."""
        with self.lock:
            self.admission = None
            self.meter = None
            self._readmit()

    def announce(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell whoever wants it of something that was noticed and moves nothing."""
        if self.lock._is_owned():
            self.shared.then(partial(self.announce, event, fields))
            return
        now = self.shared.clock()
        with self.lock:
            if self.registered:
                self._tell(event, fields, now)
            ring = self._unrung()
        if ring:
            self.shared.bell(self)
        if self.shared.asked:
            self.shared.settle()

    # Being idle

    def idle_for(self, now: float) -> float:
        """Seconds since the registration or the last activity that a look like this has seen.

        Nothing while it must not be removed for being idle. Without a lock, as a million of these
        are looked at; before it acts on it, the cleanup asks again in `shut_if_idle`.
        """
        started, settled = self._look_at_counts(now)
        if self.state is not State.CLOSED or started != settled or self.log is not None:
            return 0.0
        if self._rare is not None and self._rare.expiry is not None:
            return 0.0  # somebody has set it by hand, and it is written nowhere else
        return now - self._used_at

    def _look_at_counts(self, now: float) -> tuple[int, int]:
        """Calls begun and settled in this generation; `now` they were used, if there are more."""
        generation = self.current
        settled = value(generation.succeeded) + generation.failed + generation.ignored
        started = value(generation.started)
        mark = (generation.number - 1 << 48) + started + settled
        if mark != self._mark:
            self._mark = mark
            self._used_at = now
            self._look_at_successes(now)
        return started, settled

    def _order(
        self, apply: Callable[[float], None], *, ring: bool = False, ours: bool = False
    ) -> None:
        def noted(now: float) -> None:
            apply(now)
            self._look_at_counts(now)  # here the time is known: no sweep has to find it out

        super()._order(noted, ring=ring, ours=ours)

    def shut_if_idle(self, threshold: float) -> bool | None:
        """Shut the gate if nothing has happened for so long; whether to ring, None if it stays.

        Threads: under the lock of the catalogue.
        """
        self.shared.settle(wait=False)  # which rings no bell
        now = self.shared.clock()
        with self.lock:
            self._forget_settled()
            if not self.registered or self._retired or self.idle_for(now) < threshold:
                return None
            self._shut("connection_removed", now)
            return self._unrung()

    # The log

    def release(self) -> bool | None:
        """Give up the log if the circuit has nothing to manage; whether it was given up.

        None if another thread is inside just now: it may be about to ring, which waits for the
        lock that the caller holds.
        """
        if not self.lock.acquire(blocking=False):
            return None
        try:
            log = self.log
            if log is not None:
                log.trim()
            if (log is not None and log.records) or (
                self.registered and (self.state not in PASSING or self._watches_flight())
            ):
                return False
            self.log = None
            self._forget_settled()
            return True
        finally:
            self.lock.release()

    def _watches_flight(self) -> bool:
        meter = self.meter
        return meter is not None and meter.timed and meter.hung_at < NOT_WATCHED
