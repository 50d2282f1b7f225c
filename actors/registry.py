"""What unique and duplicate registries have in common: entries, listeners, queries."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from typing import Any, NamedTuple, Protocol

from attrs import frozen

from brama.telemetry import ConfigError

from . import process
from .errors import ActorDeadError
from .ref import ActorRef

__all__ = ["Entry", "Registered", "Registry", "Unregistered", "check_key"]


class Entry(NamedTuple):
    """What is registered under a key: an actor, and the value that came along."""

    ref: ActorRef[Any]
    value: Any = None


class _Registrant(Protocol):
    """The runtime side of an actor, which remembers where it is registered."""

    def enter(self, registry: Any, key: Hashable) -> bool: ...

    def leave(self, registry: Any, key: Hashable) -> None: ...

    def keys_in(self, registry: Any) -> tuple[Hashable, ...]: ...


class Registry(ABC):
    """Keys that lead to actors. Use `Names` (one actor per key) or `DuplicateRegistry` (many).

    An entry is an actor and a value, any object of yours. It goes when its actor ends.

    Threads: any. Reads take no hop to a loop; they look at what writers have published.

    Source: Elixir ``Registry``.
    """

    def __init__(self) -> None:
        # Invariant: the table and the listeners change only under it. No code of users runs under
        # it, and nothing that waits: what listeners are sent goes into their control lane, which is
        # never full.
        self._lock = threading.Lock()
        self._listeners: tuple[Any, ...] = ()
        process.inherit(self)

    # -- queries
    # -------------------------------------------------------------------------------------

    @abstractmethod
    def lookup(self, key: Hashable) -> tuple[Entry, ...]:
        """The entries of live actors under ``key``, in the order of registration."""

    @abstractmethod
    def _items(self) -> Iterator[tuple[Hashable, Entry]]:
        """All entries at this instant."""

    def keys(self, ref: ActorRef[Any]) -> tuple[Hashable, ...]:
        """The keys under which ``ref`` is registered, each once."""
        return _registrant(ref).keys_in(self)

    def values(self, key: Hashable, ref: ActorRef[Any]) -> tuple[Any, ...]:
        """The values with which ``ref`` is registered under ``key``."""
        return tuple(entry.value for entry in self.lookup(key) if entry.ref is ref)

    def match(self, key: Hashable, where: Callable[[Any], object]) -> tuple[Entry, ...]:
        """The entries under ``key`` for whose value ``where(value)`` is true."""
        return tuple(entry for entry in self.lookup(key) if where(entry.value))

    def select(
        self, where: Callable[[Hashable, ActorRef[Any], Any], object] | None = None
    ) -> tuple[tuple[Hashable, ActorRef[Any], Any], ...]:
        """``(key, ref, value)`` of all entries for which ``where(key, ref, value)`` is true."""
        return tuple(
            (key, entry.ref, entry.value)
            for key, entry in self._items()
            if entry.ref.is_alive() and (where is None or where(key, entry.ref, entry.value))
        )

    def count(self, key: Hashable | None = None) -> int:
        """How many entries there are, under ``key`` or, with None, in all."""
        return len(self) if key is None else len(self.lookup(key))

    @abstractmethod
    def __len__(self) -> int: ...

    def __contains__(self, key: Hashable) -> bool:
        return bool(self.lookup(key))

    # -- listeners
    # -----------------------------------------------------------------------------------

    def add_listener(self, ref: ActorRef[Any]) -> None:
        """Send ``ref`` a `Registered` or `Unregistered` for each change from now on.

        They come ahead of its other mail, in the order of the changes. A listener that has ended is
        forgotten.

        Source: Elixir ``Registry`` option ``:listeners``.
        """
        _registrant(ref)
        with self._lock:
            if ref not in self._listeners:
                self._listeners = (*self._listeners, ref)

    def remove_listener(self, ref: ActorRef[Any]) -> bool:
        """Send ``ref`` no more; returns whether it was a listener."""
        with self._lock:
            rest = tuple(one for one in self._listeners if one is not ref)
            changed, self._listeners = len(rest) != len(self._listeners), rest
        return changed

    def _notify(self, notice: Registered | Unregistered) -> None:
        """Tell the listeners. Under the lock, so that they hear in the order of the changes."""
        gone = [one for one in self._listeners if not one.actor_inbox.send_control(notice)]
        if gone:
            self._listeners = tuple(one for one in self._listeners if one not in gone)

    # -- for the runtime
    # -----------------------------------------------------------------------------

    @abstractmethod
    def release(self, key: Hashable, ref: ActorRef[Any]) -> None:
        """Take out what ``ref`` has under ``key``; its actor has ended."""

    @abstractmethod
    def _forget(self) -> None: ...

    def after_fork(self) -> None:
        """In the child of a fork: every actor of the parent is gone, and so are their entries."""
        self._lock = threading.Lock()
        self._listeners = ()
        self._forget()

    def _enter(self, ref: ActorRef[Any], key: Hashable) -> None:
        # The actor learns of the key before the table does: it may be ending on another thread this
        # very moment, and whichever of us comes second takes the entry out again.
        if not _registrant(ref).enter(self, key):
            raise ActorDeadError(f"{ref} is dead and cannot be registered as {key!r}")

    def _leave(self, ref: ActorRef[Any], key: Hashable) -> None:
        _registrant(ref).leave(self, key)


@frozen
class Registered:
    """To a listener: ``ref`` has been registered under ``key``."""

    registry: Registry
    key: Hashable
    ref: ActorRef[Any]
    value: Any


@frozen
class Unregistered:
    """To a listener: ``ref`` is no longer registered under ``key``, by request or by its end."""

    registry: Registry
    key: Hashable
    ref: ActorRef[Any]


def check_key(key: Hashable) -> None:
    """Raise `ConfigError` for what cannot be a key."""
    try:
        hash(key)
    except TypeError:
        raise ConfigError("key", "a hashable value", key) from None


def _registrant(ref: ActorRef[Any]) -> _Registrant:
    inbox: Any = getattr(ref, "actor_inbox", None)
    if not hasattr(inbox, "keys_in"):
        raise ConfigError("ref", "a ref of an actor of brama.actors", ref)
    return inbox  # type: ignore[no-any-return]  # looked at just now
