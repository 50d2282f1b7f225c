"""Circuit breakers: one for each outbound connection of a service.

A `Circuit` decides in well under a microsecond, in the thread of the caller, whether a call may
be made, and learns from its outcome. After some consecutive failures it *opens* and refuses
calls; when its expiry is over it is *half-open* and lets a probe through; a probe that succeeds
*closes* it again.

Example:
    >>> import brama
    >>> search = brama.circuit("search", failure_threshold=3, expiry=10.0)
    >>> @search
    ... def query(words: str) -> list[str]:
    ...     return [words]
    >>> query("gate")
    ['gate']

The breaker never waits for an actor: it is a pure state machine in shared memory
(`brama.circuits.breaker`). A connection actor manages it: publishes what it did, in order, and
watches the clock for it.
"""

from .answer import Refused
from .breaker import Breaker
from .catalogue import Catalogue
from .circuit import Circuit
from .cleanup import CLEANUP_OPTIONS, Cleanup, check_cleanup
from .connection import (
    REGISTRY,
    Bells,
    Circuits,
    ConnectionActor,
    Publish,
    tell_of_cleanup,
)
from .connection_kind import ConnectionKind, check_kind
from .errors import CircuitOpenError, EventFormatError, UnknownConnectionError, UnknownGroupError
from .event_data import ALWAYS_ALLOWED, DATA, DataField
from .events import ALL, CRITICAL, EVENTS, Event, EventKind, Severity, check_events, mask_of
from .evidence import Cause, Incident, Why
from .explain import Finding, explain, lint
from .fields import Fields
from .globs import covers, event_names, is_glob, matcher
from .groups import Group, Groups, GroupStatus
from .heartbeat import Heartbeat
from .isolation import Isolation
from .keywords import Options
from .link import Link
from .log import Record
from .naming import named
from .options import check_name, check_scope, seconds, whole
from .orders import Order, acting_as, acting_person
from .outcome import Outcome
from .overview import Changes, Listing, Overview
from .permit import Permit
from .policy import ALIASES, OPTIONS, Policy, check_options, merge
from .polling import Poll
from .provider import Provider, provide
from .quality import Quality
from .reason import Reason
from .severity import Severities, SeverityRule, check_severities
from .shared import Interest, Shared
from .simulate import (
    Call,
    Change,
    Response,
    Scenario,
    Simulation,
    always_failing,
    failing_for,
    healthy,
    intermittent,
    simulate,
    slow,
)
from .sources import Source, Sources
from .state import State, check_state
from .status import Status, Window
from .stream import GuardedStream
from .summary import CircuitSummary, Transition
from .sums import CallTotals
from .survey import Survey
from .tally import Tally
from .trip import AnyOf, ConsecutiveFailures, CountWindow, TimeWindow, TripPolicy, any_of

__all__ = [
    "ALIASES",
    "ALL",
    "ALWAYS_ALLOWED",
    "CLEANUP_OPTIONS",
    "CRITICAL",
    "DATA",
    "EVENTS",
    "OPTIONS",
    "REGISTRY",
    "AnyOf",
    "Bells",
    "Breaker",
    "Call",
    "CallTotals",
    "Catalogue",
    "Cause",
    "Change",
    "Changes",
    "Circuit",
    "CircuitOpenError",
    "CircuitSummary",
    "Circuits",
    "Cleanup",
    "ConnectionActor",
    "ConnectionKind",
    "ConsecutiveFailures",
    "CountWindow",
    "DataField",
    "Event",
    "EventFormatError",
    "EventKind",
    "Fields",
    "Finding",
    "Group",
    "GroupStatus",
    "Groups",
    "GuardedStream",
    "Heartbeat",
    "Incident",
    "Interest",
    "Isolation",
    "Link",
    "Listing",
    "Options",
    "Order",
    "Outcome",
    "Overview",
    "Permit",
    "Policy",
    "Poll",
    "Provider",
    "Publish",
    "Quality",
    "Reason",
    "Record",
    "Refused",
    "Response",
    "Scenario",
    "Severities",
    "Severity",
    "SeverityRule",
    "Shared",
    "Simulation",
    "Source",
    "Sources",
    "State",
    "Status",
    "Survey",
    "Tally",
    "TimeWindow",
    "Transition",
    "TripPolicy",
    "UnknownConnectionError",
    "UnknownGroupError",
    "Why",
    "Window",
    "acting_as",
    "acting_person",
    "always_failing",
    "any_of",
    "check_cleanup",
    "check_events",
    "check_kind",
    "check_name",
    "check_options",
    "check_scope",
    "check_severities",
    "check_state",
    "covers",
    "event_names",
    "explain",
    "failing_for",
    "healthy",
    "intermittent",
    "is_glob",
    "lint",
    "mask_of",
    "matcher",
    "merge",
    "named",
    "provide",
    "seconds",
    "simulate",
    "slow",
    "tell_of_cleanup",
    "whole",
]
