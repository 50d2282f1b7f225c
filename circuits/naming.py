"""Which connection somebody means who gives a circuit in the place of its name."""

from __future__ import annotations

from typing import Any

from brama.telemetry import ConfigError

from .circuit import Circuit
from .shared import Shared

__all__ = ["named"]


def named(connection: Any, scope: Any, home: Shared | None = None) -> tuple[Any, Any]:
    """The name and the scope of a connection; a circuit stands for both of its own.

    Args:
        connection: a circuit; anything else is given back as it is.
        scope: None is that of the circuit.
        home: what the circuits of one system have in common, where only those are meant.

    Raises:
        ConfigError: the circuit is of another scope, or of another system.
    """
    if not isinstance(connection, Circuit):
        return connection, scope
    if home is not None and connection._breaker.shared is not home:
        raise ConfigError(
            "connection",
            "a circuit of this system",
            connection,
            hint=f"Nothing happens to that one here; give the name {connection.name!r}, or ask "
            "the system that it was made in.",
        )
    if scope is not None and scope != connection.scope:
        raise ConfigError("scope", f"{connection.scope!r}, as the circuit's, or left out", scope)
    return connection.name, connection.scope
