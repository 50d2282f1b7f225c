"""What a circuit says of itself. Reading changes nothing."""

from __future__ import annotations

from .events import Event, severity_of, utc
from .evidence import Cause, Incident, Why
from .explain import explain
from .fields import Fields
from .generation import Generation, Meter, value
from .machine import PASSING
from .registration import Registration
from .state import State
from .status import Status, Window

__all__ = ["Readings"]


class Readings(Registration):
    """A breaker that is looked at.

    Threads: any.
    """

    __slots__ = ()

    def would_admit(self) -> bool:
        """Whether a call would be admitted now."""
        if self.admission is not None or self.meter is not None:
            return True
        return self._read(self._would_admit)

    def _would_admit(self, now: float) -> bool:
        if not self.registered:
            return False
        state = self.state_at(now)
        if state is not State.HALF_OPEN or self.state is not State.HALF_OPEN:
            return state in PASSING or state is State.HALF_OPEN
        probes = self._probes or {}
        return len(probes) < self.policy.half_open_max_calls or self._probes_overdue(now)

    def snapshot(self) -> Event:
        """An event `snapshot`; it stands behind all that has happened so far."""
        return self._read(self._snapshot)

    def _snapshot(self, now: float) -> Event:
        wall = self.shared.wall()
        state = self.state  # not what the clock says: that transition is still to come
        data = Fields(
            {
                "state": state,
                "new_state": state,
                "reason": self.reason,
                "failure_count": self._failure_count(),
                "generation": self.current.number,
                "retry_after": self._retry_after(now),
                **({"metadata": self.metadata} if self.metadata else {}),
            }
        )
        rules = self.shared.severities
        return Event(
            event="snapshot",
            connection=self.name,
            scope=self.scope,
            timestamp=utc(wall),
            monotonic=now,
            epoch=self.epoch,
            seq=None,
            event_id=f"{self.shared.source}-{self.epoch:x}-{self._events}-snapshot",
            severity=severity_of("snapshot", state)
            if rules is None
            else rules.of("snapshot", data, self.name, self.scope, self.kind),
            data=data,
            source=self.shared.source,
            kind=self.kind,
        )

    def status(self) -> Status:
        """All that there is to say of it at one moment."""
        return self._read(self._status)

    def _status(self, now: float) -> Status:
        policy, current = self.policy, self.current
        totals = self._sum()
        return Status(
            connection=self.name,
            scope=self.scope,
            state=self.state_at(now),
            failure_count=self._failure_count(),
            failure_threshold=policy.failure_threshold,
            expiry=policy.expiry,
            expiry_strategy=policy.strategy_name,
            initial_expiry=policy.initial_expiry,
            max_expiry=policy.max_expiry,
            backoff_factor=policy.backoff_factor,
            opened_at=self._opened_at,
            last_failure_time=self._last_failure,
            last_success_time=self._last_success(now),
            registered_at=self.registered_at,
            last_transition_at=self._transition_at,
            retry_after=self._retry_after(now),
            reason=self.reason,
            opened_count=self._opened_count,
            generation=current.number,
            half_open_in_flight=len(self._probes or ()),
            calls=totals.calls,
            successes=totals.successes,
            failures=totals.failures,
            ignored=totals.ignored,
            refused=value(self.refused),
            late=totals.late,
            in_flight=totals.in_flight,
            window=self._window(now),
            kind=self.kind,
            metadata=self.metadata,
        )

    def _window(self, now: float) -> Window | None:
        meter = self.current
        if type(meter) is not Meter or meter.judge is None:
            return None
        content = meter.judge.content(value(meter.succeeded), now)
        return None if content is None else Window(*content)

    def why(self) -> Why:
        """The evidence behind the present state."""
        return self._read(self._why)

    def _why(self, now: float) -> Why:
        rare, state = self._rare, self.state_at(now)
        reason = self._moved_by
        if state is not self.state:
            reason = "expiry elapsed"
        incidents = self._incidents or ()
        passing = self.state in PASSING and type(self.current) is Generation
        if passing and not self._failure_count():
            incidents = ()  # of a row that a success has ended
        return Why(
            connection=self.name,
            scope=self.scope,
            state=state,
            since=self.registered_at if self._transition_at is None else self._transition_at,
            reason=reason,
            cause=None if rare is None or rare.cause is None else Cause(*rare.cause),
            incidents=tuple(map(Incident.of, incidents)),
            retry_after=self._retry_after(now),
            isolated=0 if rare is None else rare.isolated,
            rules=explain(self.policy),
        )
