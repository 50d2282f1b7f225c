"""What one does to a circuit of which one has only the name."""

from __future__ import annotations

from datetime import timedelta

from brama.circuits import Circuit, Isolation, Reason, Status, Why

from .composition import Composition

__all__ = ["ByName"]


class ByName(Composition):
    """The words of `brama` for one circuit, on the circuits of this system.

    Each finds the circuit and calls its method of the same name. All but `available` raise
    `UnknownConnectionError` if no such circuit is registered; none makes one.
    """

    def find(self, name: str, *, scope: str | None = None) -> Circuit | None:
        """The circuit of that name, or None; it is not made."""
        return self._catalogue.find(name, scope=scope)

    def get(self, name: str, *, scope: str | None = None) -> Circuit:
        """The circuit of that name; it is not made.

        Raises:
            UnknownConnectionError: there is none.
        """
        return self._catalogue.get(name, scope=scope)

    def available(self, name: str, *, scope: str | None = None) -> bool:
        """Whether a call would be admitted now; False if no such circuit is registered."""
        found = self.find(name, scope=scope)
        return found is not None and found.available()

    def status(self, name: str, *, scope: str | None = None) -> Status:
        """A frozen snapshot; see `Circuit.status`."""
        return self.get(name, scope=scope).status()

    def why(self, name: str, *, scope: str | None = None) -> Why:
        """The evidence behind the present state; see `Circuit.why`."""
        return self.get(name, scope=scope).why()

    def success(self, name: str, *, scope: str | None = None) -> None:
        """Report a success that was seen elsewhere; see `Circuit.success`."""
        self.get(name, scope=scope).success()

    def failure(
        self,
        name: str,
        *,
        scope: str | None = None,
        reason: Reason = None,
        error_type: str | None = None,
        error_code: str | int | None = None,
    ) -> None:
        """Report a failure that was seen elsewhere; see `Circuit.failure`."""
        circuit = self.get(name, scope=scope)
        circuit.failure(reason, error_type=error_type, error_code=error_code)

    def open_circuit(
        self,
        name: str,
        *,
        scope: str | None = None,
        reason: Reason = "manually opened",
        expires_in: float | timedelta | None = None,
    ) -> None:
        """Open it now; see `Circuit.open_circuit`."""
        self.get(name, scope=scope).open_circuit(reason, expires_in=expires_in)

    def close_circuit(
        self, name: str, *, scope: str | None = None, reason: Reason = "manually closed"
    ) -> None:
        """Close it now and forget its failures; see `Circuit.close_circuit`."""
        self.get(name, scope=scope).close_circuit(reason)

    def reset_circuit(
        self, name: str, *, scope: str | None = None, reason: Reason = "manually reset"
    ) -> None:
        """Close it now and forget all that led here; see `Circuit.reset_circuit`."""
        self.get(name, scope=scope).reset_circuit(reason)

    def force_open(
        self, name: str, *, scope: str | None = None, reason: Reason = "forced open"
    ) -> None:
        """Refuse every call until another order; see `Circuit.force_open`."""
        self.get(name, scope=scope).force_open(reason)

    def disable(self, name: str, *, scope: str | None = None, reason: Reason = "disabled") -> None:
        """Let every call pass, counted and not judged; see `Circuit.disable`."""
        self.get(name, scope=scope).disable(reason)

    def metrics_only(
        self, name: str, *, scope: str | None = None, reason: Reason = "metrics only"
    ) -> None:
        """Let every call pass and judge it, but never open; see `Circuit.metrics_only`."""
        self.get(name, scope=scope).metrics_only(reason)

    def isolate(
        self, name: str, *, scope: str | None = None, reason: Reason = "isolated"
    ) -> Isolation:
        """Refuse every call until all who hold it let go; see `Circuit.isolate`."""
        return self.get(name, scope=scope).isolate(reason)

    def set_expiry(self, name: str, expiry: float | timedelta, *, scope: str | None = None) -> None:
        """Stay open for `expiry` seconds in the policy's place; see `Circuit.set_expiry`."""
        self.get(name, scope=scope).set_expiry(expiry)

    def reset_expiry(self, name: str, *, scope: str | None = None) -> None:
        """Go by the policy's expiry again; see `Circuit.reset_expiry`."""
        self.get(name, scope=scope).reset_expiry()

    def disable_expiry(self, name: str, *, scope: str | None = None) -> None:
        """Stay open until somebody closes it; see `Circuit.disable_expiry`."""
        self.get(name, scope=scope).disable_expiry()
