"""Where circuits come from, for those who are not told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from importlib import import_module
from typing import Any, Protocol, Unpack

from .circuit import Circuit
from .connection_kind import ConnectionKind
from .events import Event
from .keywords import Options
from .policy import Policy

__all__ = ["Home", "Provider", "Stream", "default_home", "provide"]


class Provider(Protocol):
    """What makes circuits and finds them: a `brama.System`, or a `Catalogue` alone."""

    def circuit(
        self,
        name: str,
        *,
        scope: str | None = None,
        policy: Policy | None = None,
        kind: ConnectionKind | str | None = None,
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


class Stream(AbstractContextManager[Any, None], Protocol):
    """Events to be taken one after the other, as `brama.events` gives them."""

    def get(self, timeout: float | timedelta | None = None) -> Event: ...

    async def aget(self) -> Event: ...


class Home(Provider, Protocol):
    """What is asked of the default system, the tools for tests included: a `brama.System`."""

    def get(self, name: str, *, scope: str | None = None) -> Circuit: ...

    def events(
        self,
        *,
        events: Iterable[str] | None = None,
        connection: str | None = None,
        scope: str | None = None,
    ) -> Stream: ...

    def deactivate(self) -> None: ...

    def activate(self) -> None: ...


_default: Callable[[], Home] | None = None


def provide(default: Callable[[], Home]) -> None:
    """Say where circuits come from when nobody says so.

    For the facade, which stands above this package and knows the default system.
    """
    global _default
    _default = default


def default_home() -> Home:
    """The default system, made at the first use."""
    if _default is None:
        # The facade loads it with the first word that needs it, which may be this one. By name:
        # this floor knows nothing of those above.
        import_module("brama.default")
    assert _default is not None, "brama.default provides it when it is loaded"
    return _default()
