"""Where circuits come from, for those who are not told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol, Unpack

from .circuit import Circuit
from .keywords import Options
from .policy import Policy

__all__ = ["Provider", "default_provider", "provide"]


class Provider(Protocol):
    """What makes circuits and finds them: a `brama.System`, or a `Catalogue` alone."""

    def circuit(
        self,
        name: str,
        *,
        scope: str | None = None,
        policy: Policy | None = None,
        metadata: Mapping[str, Any] | None = None,
        pinned: bool = False,
        **options: Unpack[Options],
    ) -> Circuit:
        """The circuit of that name, made if there is none."""
        ...

    def find(self, name: str, *, scope: str | None = None) -> Circuit | None:
        """The circuit of that name, or None."""
        ...

    def unregister(self, name: str, *, scope: str | None = None) -> bool:
        """Remove the circuit of that name."""
        ...


_default: Callable[[], Provider] | None = None


def provide(default: Callable[[], Provider]) -> None:
    """Say where circuits come from when nobody says so.

    For the facade, which stands above this package and knows the default system.
    """
    global _default
    _default = default


def default_provider() -> Provider:
    """The default system, made at the first use."""
    if _default is None:
        # The facade loads it with the first word that needs it, which may be this one. By name:
        # this floor knows nothing of those above.
        import_module("brama.system")
    assert _default is not None, "brama.system provides it when it is loaded"
    return _default()
