"""What a circuit says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from .connection_kind import ConnectionKind
from .state import State

__all__ = ["Status", "Window"]


@attrs.frozen
class Window:
    """What a count or time window holds at one instant.

    Attributes:
        calls: that have ended within it; hung ones that count as slow already among them.
        failures: of these.
        slow: of these.
    """

    calls: int
    failures: int
    slow: int


@attrs.frozen(kw_only=True)
class Status:
    """A circuit at one instant: a frozen snapshot.

    Attributes:
        connection: its name.
        scope: its scope, or None.
        state: as the clock says at this instant.
        failure_count: consecutive failures.
        failure_threshold: failures that open it.
        expiry, expiry_strategy, initial_expiry, max_expiry, backoff_factor: see `Policy`.
        opened_at: POSIX time of the last opening, or None.
        last_failure_time: POSIX time of the last counted failure, or None.
        last_success_time: POSIX time of the last success, or None. A call that goes well reads no
            clock: this is when one was last seen in the counts, which are looked at here, at every
            failure, slow call, report and change of state, and by each sweep (`cleanup_interval`).
            So it is never too early, and at most one such step too late.
        registered_at: POSIX time of the registration.
        last_transition_at: POSIX time of the last change of state, or None.
        retry_after: seconds until a call may be admitted; 0 when one may be now.
        reason: why it opened last, or None.
        opened_count: openings since the registration.
        generation: number of the current stay in a state.
        half_open_in_flight: probes that are out.
        calls, successes, failures, ignored, refused: since the registration. Late results are
            among successes, failures and ignored.
        late: results of calls that began in an earlier generation; counted, never applied.
        in_flight: calls that have started and not settled.
        window: what the window of `Policy.trip` holds, the first of several; None without one,
            and while nothing is judged by it.
        kind: what kind of connection it is.
        metadata: what the registration gave along.
    """

    connection: str
    scope: str | None
    state: State
    failure_count: int
    failure_threshold: int
    expiry: float
    expiry_strategy: str
    initial_expiry: float
    max_expiry: float
    backoff_factor: float
    opened_at: float | None
    last_failure_time: float | None
    last_success_time: float | None
    registered_at: float
    last_transition_at: float | None
    retry_after: float
    reason: str | None
    opened_count: int
    generation: int
    half_open_in_flight: int
    calls: int
    successes: int
    failures: int
    ignored: int
    refused: int
    late: int
    in_flight: int
    window: Window | None
    kind: ConnectionKind
    metadata: Mapping[str, Any]

    @property
    def identifier(self) -> str:
        """The Elixir library's word for `connection`."""
        return self.connection

    @property
    def max_attempts(self) -> int:
        """The Elixir library's word for `failure_threshold`."""
        return self.failure_threshold
