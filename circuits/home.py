"""Where circuits that are only named are looked for: the default system, which is made above us."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from importlib import import_module
from typing import Any, Protocol

from .circuit import Circuit
from .events import Event

__all__ = ["Home", "Stream", "default_home", "provide_default"]


class Stream(AbstractContextManager[Any, None], Protocol):
    """Events to be taken one after the other, as `brama.events` gives them."""

    def get(self, timeout: float | timedelta | None = None) -> Event: ...

    async def aget(self) -> Event: ...


class Home(Protocol):
    """What the tools for tests ask of a `brama.System`."""

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


def provide_default(factory: Callable[[], Home]) -> None:
    """Say where circuits are looked for that are named and whose system is not."""
    global _default
    _default = factory


def default_home() -> Home:
    """The system that the functions of `brama` act on."""
    if _default is None:
        # The facade loads it with the first word that needs it, which may be this one. By name:
        # this floor knows nothing of those above.
        import_module("brama.system")
    assert _default is not None, "brama.system provides it when it is loaded"
    return _default()
