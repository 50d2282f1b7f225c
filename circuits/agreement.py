"""Whether what is asked of a circuit that is there already agrees with what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brama.telemetry import ConfigError

from .circuit import Circuit
from .connection_kind import ConnectionKind
from .policy import Policy, merge

__all__ = ["check_agreement"]


def check_agreement(
    circuit: Circuit,
    policy: Policy | None,
    options: Mapping[str, Any],
    metadata: Mapping[str, Any] | None,
    kind: ConnectionKind | None,
) -> None:
    """A second `circuit()` may repeat the options of the first, not contradict them.

    Raises:
        ConfigError: it does; what of the circuit says otherwise.
    """
    had: Any = circuit._breaker.metadata
    if metadata is not None and {**circuit._breaker.shared.metadata, **metadata} != had:
        raise ConfigError(
            f"metadata of circuit {circuit.name!r}",
            f"{dict(had)!r}, which it has",
            metadata,
            hint="Give it where the circuit is made, or leave it out here.",
        )
    present = circuit._breaker.policy
    if policy is not None and policy != present:
        raise ConfigError(
            f"the policy of circuit {circuit.name!r}",
            f"the one it has ({present})",
            policy,
            hint="Change it with brama.configure().",
        )
    if options:
        asked = Policy(**merge(present.options(), options))
        also = ("expiry_strategy",) if callable(options.get("expiry")) else ()
        for option in (*options, *also):
            had, wanted = getattr(present, option), getattr(asked, option)
            if had != wanted:
                raise ConfigError(
                    f"{option} of circuit {circuit.name!r}",
                    f"{had!r}, which it has",
                    wanted,
                    hint="Change it with brama.configure(), or leave the option out here.",
                )
    if kind is not None and kind is not circuit.kind:
        raise ConfigError(
            f"kind of circuit {circuit.name!r}",
            f"{circuit.kind.value!r}, which it has",
            kind.value,
            hint="Say it where the circuit is made, or leave it out here.",
        )
