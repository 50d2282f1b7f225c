"""What a circuit is told to do, as part of a circuit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from .breaker import Breaker
from .isolation import Isolation
from .options import seconds
from .orders import Order
from .reason import Reason, check_reason
from .state import State

__all__ = ["Commanded"]


class Commanded:
    """The side of a `Circuit` that takes orders: to open and close, to stay so, to hold it refused.

    Each is noted as an `Order`, and then takes effect at once.

    Threads: from any.
    """

    __slots__ = ()

    _breaker: Breaker

    def open_circuit(
        self,
        reason: Reason = "manually opened",
        *,
        expires_in: float | timedelta | None = None,
    ) -> None:
        """Open the circuit now.

        Args:
            reason: shown in events and refusals.
            expires_in: seconds until probes are admitted; the policy's `expiry` by default. The
                policy itself does not change. On an open circuit the time starts anew.
        """
        expiry = None if expires_in is None else seconds("expires_in", expires_in)
        text = check_reason(reason)
        self._note("open_circuit", text, expires_in=expiry)
        self._breaker.open(text, expiry)

    def close_circuit(self, reason: Reason = "manually closed") -> None:
        """Close the circuit now and forget its failures."""
        text = check_reason(reason)
        self._note("close_circuit", text)
        self._breaker.close(text)

    def reset_circuit(self, reason: Reason = "manually reset") -> None:
        """Close the circuit now and forget all that led here; always an event."""
        text = check_reason(reason)
        self._note("reset_circuit", text)
        self._breaker.reset(text)

    def force_open(self, reason: Reason = "forced open") -> None:
        """Refuse every call until `close_circuit`, `reset_circuit` or another order.

        No clock and no probe ends it.
        """
        text = check_reason(reason)
        self._note("force_open", text)
        self._breaker.force(State.FORCED_OPEN, text)

    def disable(self, reason: Reason = "disabled") -> None:
        """Let every call pass, counted and not judged, until another order."""
        text = check_reason(reason)
        self._note("disable", text)
        self._breaker.force(State.DISABLED, text)

    def metrics_only(self, reason: Reason = "metrics only") -> None:
        """Let every call pass and judge it, but never open: a trial run of the policy.

        What would have opened the circuit is the event `threshold_exceeded`.
        """
        text = check_reason(reason)
        self._note("metrics_only", text)
        self._breaker.force(State.METRICS_ONLY, text)

    def isolate(self, reason: Reason = "isolated") -> Isolation:
        """Refuse every call until this handle and those of all other holders are released.

        The circuit then goes back to where it was; an order given meanwhile decides otherwise.

        Example:
            >>> with payments.isolate("deploy"):
            ...     payments.available()
            False
        """
        text = check_reason(reason)
        self._note("isolate", text)
        return self._breaker.isolate(text)

    def set_expiry(self, expiry: float | timedelta) -> None:
        """Stay open for `expiry` seconds, in the place of what the policy says.

        It holds for the present opening, counted from its beginning, and for all later ones until
        `reset_expiry`.
        """
        checked = seconds("expiry", expiry)
        self._note("set_expiry", expiry=checked)
        self._breaker.set_expiry(checked)

    def reset_expiry(self) -> None:
        """Go by the policy's expiry again; that of an open circuit is over now."""
        self._note("reset_expiry")
        self._breaker.reset_expiry()

    def disable_expiry(self) -> None:
        """Stay open, now or when it opens next, until somebody closes the circuit."""
        self._note("disable_expiry")
        self._breaker.disable_expiry()

    def _note(self, order: str, reason: str | None = None, **options: Any) -> None:
        breaker = self._breaker
        breaker.shared.ordered(
            Order(
                order=order,
                connection=breaker.name,
                scope=breaker.scope,
                reason=reason,
                options=options,
            )
        )
