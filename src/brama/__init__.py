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

Importing starts nothing, and loads nothing before a name is asked for: who only wants the version
or the command line waits for no more. The functions here act on a default system, see
`default_system`; `System` makes others. The parts: `brama.circuits`, `brama.notifier`,
`brama.actors`, `brama.telemetry`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brama.circuits import (
        Circuit,
        CircuitOpenError,
        ConnectionKind,
        ConsecutiveFailures,
        CountWindow,
        Finding,
        Group,
        GroupStatus,
        Isolation,
        Options,
        Outcome,
        Permit,
        Policy,
        Severity,
        SeverityRule,
        State,
        Status,
        TimeWindow,
        TripPolicy,
        UnknownConnectionError,
        UnknownGroupError,
        Why,
        acting_as,
        any_of,
        explain,
        lint,
        simulate,
    )
    from brama.notifier import Event, EventStream, Subscription
    from brama.telemetry import BramaError, ConfigError

    from .default import default_system
    from .settings import Settings
    from .system import System
    from .words import (
        available,
        by_scope,
        changes,
        circuit,
        close_circuit,
        configure,
        connections,
        disable,
        disable_expiry,
        events,
        failure,
        force_open,
        group_available,
        group_failure,
        group_status,
        groups,
        isolate,
        listing,
        metrics_only,
        open_circuit,
        overview,
        register,
        register_group,
        replay,
        reset_circuit,
        reset_expiry,
        set_expiry,
        status,
        subscribe,
        subscriptions,
        success,
        trail,
        unregister,
        unregister_group,
        unsubscribe,
        why,
    )

    __version__: str

__all__ = [
    "BramaError",
    "Circuit",
    "CircuitOpenError",
    "ConfigError",
    "ConnectionKind",
    "ConsecutiveFailures",
    "CountWindow",
    "Event",
    "EventStream",
    "Finding",
    "Group",
    "GroupStatus",
    "Isolation",
    "Options",
    "Outcome",
    "Permit",
    "Policy",
    "Settings",
    "Severity",
    "SeverityRule",
    "State",
    "Status",
    "Subscription",
    "System",
    "TimeWindow",
    "TripPolicy",
    "UnknownConnectionError",
    "UnknownGroupError",
    "Why",
    "acting_as",
    "any_of",
    "available",
    "by_scope",
    "changes",
    "circuit",
    "close_circuit",
    "configure",
    "connections",
    "default_system",
    "disable",
    "disable_expiry",
    "events",
    "explain",
    "failure",
    "force_open",
    "group_available",
    "group_failure",
    "group_status",
    "groups",
    "isolate",
    "lint",
    "listing",
    "metrics_only",
    "open_circuit",
    "overview",
    "register",
    "register_group",
    "replay",
    "reset_circuit",
    "reset_expiry",
    "set_expiry",
    "simulate",
    "status",
    "subscribe",
    "subscriptions",
    "success",
    "trail",
    "unregister",
    "unregister_group",
    "unsubscribe",
    "why",
]

# Where the names stand that are no functions of `words`: an error or a policy does not bring the
# system along. A test holds this against the imports above.
_HOMES = {
    name: home
    for home, names in {
        "telemetry": "BramaError ConfigError",
        "circuits": (
            "Circuit CircuitOpenError ConnectionKind ConsecutiveFailures CountWindow "
            "Finding Group GroupStatus Isolation Options Outcome Permit Policy Severity "
            "SeverityRule State Status TimeWindow TripPolicy UnknownConnectionError "
            "UnknownGroupError Why acting_as any_of explain lint simulate"
        ),
        "notifier": "Event EventStream Subscription",
        "settings": "Settings",
        "system": "System",
        "default": "default_system",
    }.items()
    for name in names.split()
}

_PARTS = frozenset({"actors", "words", *_HOMES.values()})

# A type checker sees the imports above, and no name that is not there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "__version__":
            return _version()
        if name in _PARTS:  # the import makes it an attribute of this package
            return import_module(f"{__name__}.{name}")
        if name in __all__:
            home = import_module(f"{__name__}.{_HOMES.get(name, 'words')}")
            # Asked for once: from now on it is found without coming here.
            found = globals()[name] = getattr(home, name)
            return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_PARTS, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # 40 ms that few need

    try:
        return version("brama")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"
