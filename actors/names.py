"""Names for actors: an address that outlives the incarnation behind it."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

import pykka

from .dead_letters import DeadLetters
from .errors import ActorDeadError, NameNotFoundError, NameTakenError
from .future import Future
from .ref import ActorRef

__all__ = ["Names", "Via"]


class Names:
    """The unique names of one system: each belongs to at most one live actor.

    Example:
        >>> system.names.register("prices", ref)
        >>> system.names.whereis("prices") is ref
        True
        >>> system.names.via("prices").tell("refresh")   # whoever holds the name at this moment

    A name is any hashable value. It is released when its actor ends.

    Threads: any; reading takes no lock and no hop to the loop.

    Source: Elixir ``Registry`` with ``keys: :unique``.
    """

    def __init__(self, dead_letters: DeadLetters) -> None:
        self._lock = (
            threading.Lock()
        )  # Invariant: the table is written only under it, and read without
        self._table: dict[Hashable, ActorRef[Any]] = {}
        self._dead_letters = dead_letters

    def __len__(self) -> int:
        return len(self._table)

    def register(self, name: Hashable, ref: ActorRef[Any]) -> None:
        """Give ``name`` to ``ref``. Again with the same ref changes nothing.

        Raises:
            NameTakenError: another live actor holds it. The table is left as it was.
            ActorDeadError: ``ref`` is dead already.
        """
        with self._lock:
            holder = self._table.get(name)
            if holder is ref:
                return
            # A dead holder has lost its name already; its own clean-up may simply not have run yet.
            if holder is not None and holder.is_alive():
                raise NameTakenError(
                    f"the name {name!r} belongs to {holder}, which must release it or end before "
                    f"{ref} can take it"
                )
            # The actor learns of the name before the table does: it may be ending on another thread
            # this very moment, and whichever of us comes second takes the entry out again.
            if not ref.actor_inbox.add_name(name):  # type: ignore[attr-defined]  # a Cell
                raise ActorDeadError(f"{ref} is dead and cannot take the name {name!r}")
            self._table[name] = ref
        if not ref.is_alive():
            self.release(name, ref)

    def unregister(self, name: Hashable) -> bool:
        """Release ``name``; returns whether anybody held it."""
        with self._lock:
            return self._table.pop(name, None) is not None

    def release(self, name: Hashable, ref: ActorRef[Any]) -> None:
        """Release ``name`` if ``ref`` still holds it; a successor keeps it."""
        with self._lock:
            if self._table.get(name) is ref:
                del self._table[name]

    def whereis(self, name: Hashable) -> ActorRef[Any] | None:
        """The live actor behind ``name``, or None."""
        ref = self._table.get(name)
        return ref if ref is not None and ref.is_alive() else None

    def via(self, name: Hashable) -> Via:
        """An address that looks ``name`` up at each send."""
        return Via(self, name)

    def undelivered(self, name: Hashable, message: object) -> None:
        self._dead_letters.record(f"name {name!r}", message, "nobody holds the name")

    def clear(self) -> None:
        """Forget all. For the child of a fork, where every actor is gone."""
        self._lock = threading.Lock()
        self._table.clear()


class Via:
    """``names.via(name)``: tell and ask whoever holds the name at that moment.

    Failure: a tell to a name that nobody holds is a dead letter, as a cast is in OTP; an ask fails
    with `NameNotFoundError`.
    """

    __slots__ = ("_names", "name")

    def __init__(self, names: Names, name: Hashable) -> None:
        self._names = names
        self.name = name

    def __repr__(self) -> str:
        return f"<via {self.name!r}>"

    def whereis(self) -> ActorRef[Any] | None:
        """The live actor behind the name, or None."""
        return self._names.whereis(self.name)

    def is_alive(self) -> bool:
        """Whether anybody holds the name."""
        return self.whereis() is not None

    def resolve(self) -> ActorRef[Any]:
        """The ref behind the name. Raises `NameNotFoundError`."""
        ref = self._names.whereis(self.name)
        if ref is None:
            raise NameNotFoundError(f"nobody is registered as {self.name!r}")
        return ref

    def tell(self, message: Any) -> None:
        ref = self._names.whereis(self.name)
        try:
            if ref is not None:
                ref.tell(message)
                return
        except pykka.ActorDeadError:
            pass  # it died between the look-up and the send
        self._names.undelivered(self.name, message)

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self.resolve().ask(message, block=block, timeout=timeout)
        except NameNotFoundError as error:
            if block:
                raise
            future: Future[Any] = Future()
            future.fail(error)
            return future
