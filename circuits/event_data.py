"""What the keys in the data of an event mean: the only list of them.

The documentation and the published schema are made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from .state import State

__all__ = ["ALWAYS_ALLOWED", "DATA", "DataField"]


@attrs.frozen
class DataField:
    """One key of `Event.data`.

    Attributes:
        name: the key.
        schema: its values, as JSON Schema.
        meaning: what it says, as a clause for people.
        added: it came later than 1.0 was first written, so that an event may be without it.
    """

    name: str
    schema: Mapping[str, Any] = attrs.field(hash=False)
    meaning: str
    added: bool = False


_STATE = {"enum": [state.value for state in State]}
_COUNT = {"type": "integer", "minimum": 0}
_SECONDS = {"type": "number", "minimum": 0}
_WAIT = {"type": ["number", "null"], "minimum": 0}
_TEXT = {"type": ["string", "null"]}
_PLAIN = {"type": ["string", "number", "boolean", "null"]}

DATA: Mapping[str, DataField] = {
    field.name: field
    for field in (
        DataField("previous_state", _STATE, "the `brama.State` that was left"),
        DataField("new_state", _STATE, "the `brama.State` that was entered"),
        DataField("state", _STATE, "the `brama.State` in which it happened"),
        DataField(
            "reason", _TEXT, "why: the exception's type and message, or what the caller said"
        ),
        DataField("failure_count", _COUNT, "consecutive failures"),
        DataField("generation", _COUNT, "number of the stay in this state"),
        DataField(
            "retry_after", _WAIT, "seconds until a probe is admitted; in JSON, null is never"
        ),
        DataField("outcome", {"enum": ["success", "failure", "ignored"]}, "how the call has ended"),
        DataField("duration", _SECONDS, "seconds that it had been in the state that was left"),
        DataField(
            "error_type",
            _TEXT,
            "the class of the exception, as in telemetry's `error.type`, or what a report named",
            added=True,
        ),
        DataField(
            "error_code",
            {"type": ["string", "integer", "null"]},
            "the name of its errno, `ECONNREFUSED` for one, the status of an HTTP response, or "
            "what a report named",
            added=True,
        ),
        DataField(
            "attempts",
            _COUNT,
            "probes and health checks since the circuit was closed last",
            added=True,
        ),
        DataField("failure_threshold", _COUNT, "of the circuit's policy"),
        DataField("expiry", _WAIT, "of the circuit's policy, in seconds"),
        DataField("previous", _PLAIN, "what it was before"),
        DataField("current", _PLAIN, "the value; text if it is neither number, text nor boolean"),
        DataField("quality", {"enum": ["ok", "degraded"]}, "how well the connection works"),
        DataField("measure", {"enum": ["latency", "errors"]}, "what the quality is judged by"),
        DataField("value", _SECONDS, "what was measured: seconds, or a share of failures"),
        DataField("limit", _SECONDS, "the limit that it has passed"),
        DataField("healthy", {"type": "boolean"}, "whether the check passed"),
        DataField(
            "changed",
            {"type": "array", "items": {"type": "string"}},
            "the options of the policy that changed",
        ),
        DataField("removed", _COUNT, "how many idle connections a cleanup removed"),
        DataField("remaining", _COUNT, "how many connections are registered after it"),
        DataField(
            "metadata",
            {"type": "object"},
            "what the circuit was registered with, where it was; with any event of it",
        ),
        DataField("lost", _COUNT, "how many events are missing here"),
        DataField("subject", {"type": "string"}, "what the alarm is about, `journal` for one"),
        DataField("status", {"enum": ["failing", "recovered"]}, "`failing` or `recovered`"),
        DataField("since", _SECONDS, "seconds that it has lasted"),
    )
}
"""Every key by its name. A `State` equals its text: ``data["new_state"] == "open"``."""

ALWAYS_ALLOWED = ("metadata",)
"""Keys that an event of any kind may have beside those of its kind."""
