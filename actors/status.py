"""What an actor shows of itself to operators, and the hook that keeps secrets out of it."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Protocol

from attrs import evolve, field, frozen

from .exits import Crash, ExitReason

__all__ = ["Status", "reason_text", "state_text"]

# Characters of one value in a log line or a snapshot.
_LIMIT = 200

_shorten = reprlib.Repr()
_shorten.maxlevel = 4
_shorten.maxstring = _shorten.maxother = _shorten.maxlong = _LIMIT


@frozen
class Status:
    """What is about to be shown of an actor: given to `HostedActor.format_status`, and returned.

    Options:
        state: the actor's attributes, when a snapshot with its state was asked for.
        reason: why it ended, when that is about to be reported.
    """

    state: Mapping[str, Any] = field(factory=dict)
    reason: ExitReason | None = None

    def but(self, **changes: Any) -> Status:
        """A copy with some of it changed."""
        return evolve(self, **changes)


class Shown(Protocol):
    """An actor class."""

    @classmethod
    def format_status(cls, status: Status) -> Status: ...


def reason_text(cls: type[Shown], reason: ExitReason) -> str:
    """An exit reason as logs and snapshots show it, without holding on to its exception."""
    shown = _format(cls, Status(reason=reason))
    if isinstance(shown, str):
        return shown
    return "hidden" if shown.reason is None else _describe(shown.reason)


def state_text(cls: type[Shown], state: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of an actor as a snapshot shows them."""
    shown = _format(cls, Status(state=state))
    if isinstance(shown, str):
        return {"?": shown}
    return {str(name): _text(value) for name, value in shown.state.items()}


def _format(cls: type[Shown], status: Status) -> Status | str:
    try:
        shown: Any = cls.format_status(status)
    except Exception as error:  # noqa: BLE001 - nothing is shown rather than too much
        return f"hidden: format_status raised {type(error).__name__}"
    return shown if isinstance(shown, Status) else "hidden: format_status returned no Status"


def _describe(reason: ExitReason) -> str:
    return f"Crash({_text(reason.error)})" if isinstance(reason, Crash) else _text(reason)


def _text(value: object) -> str:
    try:
        text = _shorten.repr(value)
    except Exception as error:  # noqa: BLE001  (a user's `__repr__`)
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"
    return text if len(text) <= _LIMIT else f"{text[: _LIMIT - 1]}…"
