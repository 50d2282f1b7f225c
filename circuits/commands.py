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
        self._breaker.open(self._noted("open_circuit", reason, expires_in=expiry), expiry)

    def close_circuit(self, reason: Reason = "manually closed") -> None:
        """Close the circuit now and forget its failures."""
        self._breaker.close(self._noted("close_circuit", reason))

    def reset_circuit(self, reason: Reason = "manually reset") -> None:
        """Close the circuit now and forget all that led here; always an event."""
        self._breaker.reset(self._noted("reset_circuit", reason))

    def force_open(self, reason: Reason = "forced open") -> None:
        """Refuse every call until `close_circuit`, `reset_circuit` or another order.

        No clock and no probe ends it.
        """
        self._breaker.force(State.FORCED_OPEN, self._noted("force_open", reason))

    def disable(self, reason: Reason = "disabled") -> None:
        """Let every call pass, counted and not judged, until another order."""
        self._breaker.force(State.DISABLED, self._noted("disable", reason))

    def metrics_only(self, reason: Reason = "metrics only") -> None:
        """Let every call pass and judge it, but never open: a trial run of the policy.

        What would have opened the circuit is the event `threshold_exceeded`.
        """
        self._breaker.force(State.METRICS_ONLY, self._noted("metrics_only", reason))

    def isolate(self, reason: Reason = "isolated") -> Isolation:
        """Refuse every call until this handle and those of all other holders are released.

        The circuit then goes back to where it was; an order given meanwhile decides otherwise.

        Example:
            >>> with payments.isolate("deploy"):
            ...     payments.available()
            False
        """
        return self._breaker.isolate(self._noted("isolate", reason))

    def set_expiry(self, expiry: float | timedelta) -> None:
        """Stay open for `expiry` seconds, in the place of what the policy says.

        It holds for the present opening, counted from its beginning, and for all later ones until
        `reset_expiry`.
        """
        checked = seconds("expiry", expiry)
        self._noted("set_expiry", expiry=checked)
        self._breaker.set_expiry(checked)

    def reset_expiry(self) -> None:
        """Go by the policy's expiry again; that of an open circuit is over now."""
        self._noted("reset_expiry")
        self._breaker.reset_expiry()

    def disable_expiry(self) -> None:
        """Stay open, now or when it opens next, until somebody closes the circuit."""
        self._noted("disable_expiry")
        self._breaker.disable_expiry()

    def _noted(self, order: str, reason: Reason = None, **options: Any) -> str | None:
        """The reason as a text; by now the order is noted."""
        breaker, text = self._breaker, check_reason(reason)
        noted = Order(
            order=order, connection=breaker.name, scope=breaker.scope, reason=text, options=options
        )
        breaker.shared.ordered(noted)
        return text
