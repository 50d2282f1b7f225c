"""Names for actors: an address that outlives the incarnation behind it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from .dead_letters import DeadLetterReason, DeadLetters
from .errors import NameNotFoundError, NameTakenError
from .ref import ActorRef
from .registry import Entry, Registered, Registry, Unregistered, check_key
from .via import Via

__all__ = ["Names"]


class Names(Registry):
    """A unique registry: each name belongs to at most one live actor.

    Example:
        >>> system.names.register("prices", ref, value={"currency": "EUR"})
        >>> system.names.whereis("prices") is ref
        True
        >>> system.names.via("prices").tell("refresh")   # whoever holds the name at this moment

    A name is any hashable value. It is released when its actor ends. Each system has one,
    ``system.names``, where `ChildSpec` and ``spawn`` register; ``Names()`` makes a further one.

    Args:
        dead_letters: where tells to a name that nobody holds are counted; None for a count of its
            own.

    Threads: any; reading takes no lock and no hop to the loop.

    Source: Elixir ``Registry`` with ``keys: :unique``.
    """

    def __init__(self, dead_letters: DeadLetters | None = None) -> None:
        super().__init__()
        self._table: dict[Hashable, Entry] = {}
        self.dead_letters = DeadLetters("names") if dead_letters is None else dead_letters

    def __len__(self) -> int:
        return len(self._table)

    def register(self, name: Hashable, ref: ActorRef[Any], value: Any = None) -> None:
        """Give ``name`` to ``ref``. Again with the same ref changes nothing, the value neither.

        Raises:
            NameTakenError: another live actor holds it. The table is left as it was.
            ActorDeadError: ``ref`` is dead already.
        """
        check_key(name)
        with self._lock:
            holder = self._table.get(name)
            if holder is not None:
                if holder.ref is ref:
                    return
                # A dead holder has lost its name; its own clean-up may simply not have run yet.
                if holder.ref.is_alive():
                    raise NameTakenError(
                        f"the name {name!r} belongs to {holder.ref}, which must release it or end "
                        f"before {ref} can take it"
                    )
            self._enter(ref, name)
            self._table[name] = Entry(ref, value)
            if self._listeners:
                if holder is not None:
                    self._notify(Unregistered(self, name, holder.ref))
                self._notify(Registered(self, name, ref, value))
        if not ref.is_alive():
            self.release(name, ref)

    def unregister(self, name: Hashable, ref: ActorRef[Any] | None = None) -> bool:
        """Release ``name``, with ``ref`` only if that holds it; returns whether it was released."""
        with self._lock:
            holder = self._table.get(name)
            if holder is None or (ref is not None and holder.ref is not ref):
                return False
            self._remove(name, holder.ref)
        return True

    def release(self, key: Hashable, ref: ActorRef[Any]) -> None:
        """Release the name ``key`` if ``ref`` still holds it; a successor keeps it."""
        self.unregister(key, ref)

    def _remove(self, name: Hashable, ref: ActorRef[Any]) -> None:
        del self._table[name]
        self._leave(ref, name)
        if self._listeners:
            self._notify(Unregistered(self, name, ref))

    def update_value(self, name: Hashable, value: Any) -> tuple[Any, Any]:
        """Replace the value of ``name``; returns the new one and the old one.

        Args:
            value: the new value, or a function that makes it of the old one. The function runs
                without a lock, and again if somebody else was faster.

        Raises:
            NameNotFoundError: nobody holds the name.

        Source: Elixir ``Registry.update_value/3``.
        """
        while True:
            entry = self._table.get(name)
            if entry is None or not entry.ref.is_alive():
                raise NameNotFoundError(f"nobody is registered as {name!r}")
            new = value(entry.value) if callable(value) else value
            with self._lock:
                # The very object: another entry with an equal value is another update.
                if self._table.get(name) is entry:
                    self._table[name] = Entry(entry.ref, new)
                    return new, entry.value

    def whereis(self, name: Hashable) -> ActorRef[Any] | None:
        """The live actor behind ``name``, or None."""
        entry = self._table.get(name)
        return entry.ref if entry is not None and entry.ref.is_alive() else None

    def lookup(self, key: Hashable) -> tuple[Entry, ...]:
        """The entry under ``key`` if its actor is alive: a tuple of one, or none."""
        entry = self._table.get(key)
        return (entry,) if entry is not None and entry.ref.is_alive() else ()

    def _items(self) -> Iterator[tuple[Hashable, Entry]]:
        with self._lock:
            table = list(self._table.items())
        return iter(table)

    def via(self, name: Hashable) -> Via:
        """An address that looks ``name`` up at each send."""
        check_key(name)
        return Via(self, name)

    def _undelivered(self, name: Hashable, message: object) -> None:
        self.dead_letters.record(f"name {name!r}", message, DeadLetterReason.NO_NAME)

    def clear(self) -> None:
        """Forget all. For the child of a fork, where every actor is gone."""
        self.after_fork()

    def _forget(self) -> None:
        self._table = {}
