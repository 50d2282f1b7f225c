"""Brama guards the outbound connections of a service and tells the right people when one changes
state.

    >>> import brama
    >>> payments = brama.circuit("payment_api", failure_threshold=5, expiry=30.0)
    >>> @payments
    ... def charge(card: str) -> str:
    ...     return f"charged {card}"
    >>> charge("4242")
    'charged 4242'

A guarded call runs where you call it; a circuit that has seen too many failures refuses further
ones with `CircuitOpenError` until a probe succeeds. Handlers hear of it:

    >>> def page(event: brama.Event) -> None:
    ...     print(event.connection, event.data["reason"])
    >>> subscription = brama.subscribe(page, events=["circuit_opened"])

Importing starts nothing. The functions here act on a default system, see `default_system`;
`System` makes others. The parts: `brama.circuits`, `brama.notifier`, `brama.actors`,
`brama.telemetry`.
"""

from brama.circuits import (
    Circuit,
    CircuitOpenError,
    Permit,
    Policy,
    State,
    Status,
    UnknownConnectionError,
)
from brama.notifier import Event, EventStream, Subscription
from brama.telemetry import BramaError, ConfigError

from .settings import Settings
from .system import System, default_system
from .words import (
    available,
    circuit,
    close_circuit,
    configure,
    events,
    failure,
    open_circuit,
    register,
    reset_circuit,
    status,
    subscribe,
    success,
    unregister,
    unsubscribe,
)

__all__ = [
    "BramaError",
    "Circuit",
    "CircuitOpenError",
    "ConfigError",
    "Event",
    "EventStream",
    "Permit",
    "Policy",
    "Settings",
    "State",
    "Status",
    "Subscription",
    "System",
    "UnknownConnectionError",
    "available",
    "circuit",
    "close_circuit",
    "configure",
    "default_system",
    "events",
    "failure",
    "open_circuit",
    "register",
    "reset_circuit",
    "status",
    "subscribe",
    "success",
    "unregister",
    "unsubscribe",
]


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # 40 ms that few need

        try:
            return version("brama")
        except PackageNotFoundError:  # run from a source tree that is not installed
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
