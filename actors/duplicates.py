"""Many actors under one key: topics, groups, properties."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import pykka

from brama.telemetry import ConfigError, execute, hook_names

from .ref import ActorRef
from .registry import Entry, Registered, Registry, Unregistered, check_key

__all__ = ["DuplicateRegistry"]

logger = logging.getLogger("brama.actors")

_ABSENT: Any = object()


class _Record:
    """An entry and its filter."""

    __slots__ = ("entry", "filter")

    def __init__(self, entry: Entry, filter: Callable[[Any], object] | None) -> None:
        self.entry = entry
        self.filter = filter


class _Bucket:
    """All records under one key.

    Writers change ``members`` in constant time and drop ``seen``; the first reader after them makes
    that again. So ten thousand registrations under one key copy nothing ten thousand times.
    """

    __slots__ = ("members", "seen")

    def __init__(self) -> None:
        self.members: dict[ActorRef[Any], tuple[_Record, ...]] = {}
        self.seen: tuple[_Record, ...] | None = None


class DuplicateRegistry(Registry):
    """A registry in which many actors may stand under one key, and one actor several times.

    Example:
        >>> topics = DuplicateRegistry()
        >>> topics.register("prices", ref, filter=lambda message: message["currency"] == "EUR")
        >>> topics.publish("prices", {"currency": "EUR", "price": 7})
        1

    Threads: any. A read takes no lock, but for the first after a change, which takes a short one.

    Source: Elixir ``Registry`` with ``keys: :duplicate``; unlike there an entry may have a filter,
    and a failing entry does not stop the others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._table: dict[Hashable, _Bucket] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def register(
        self,
        key: Hashable,
        ref: ActorRef[Any],
        value: Any = None,
        *,
        filter: Callable[[Any], object] | None = None,
    ) -> None:
        """Add an entry under ``key``.

        Args:
            key: any hashable value.
            ref: the actor; the entry goes when it ends.
            value: anything; handed to who looks up or dispatches.
            filter: called with the message of a `dispatch` or `publish`; the entry is passed over
                when it returns something false. It runs in the sender's thread.

        Raises:
            ActorDeadError: ``ref`` is dead already.
            ConfigError: the key is not hashable, or the filter cannot be called.
        """
        check_key(key)
        if filter is not None and not callable(filter):
            raise ConfigError("filter", "something to call with a message, or None", filter)
        record = _Record(Entry(ref, value), filter)
        with self._lock:
            bucket = self._table.get(key)
            if bucket is None or ref not in bucket.members:
                self._enter(ref, key)  # before anything is written: it may refuse
            if bucket is None:
                bucket = self._table[key] = _Bucket()
            bucket.members[ref] = (*bucket.members.get(ref, ()), record)
            bucket.seen = None
            self._length += 1
            if self._listeners:
                self._notify(Registered(self, key, ref, value))
        if not ref.is_alive():
            self.release(key, ref)

    def unregister(
        self,
        key: Hashable,
        ref: ActorRef[Any],
        *,
        where: Callable[[Any], object] | None = None,
    ) -> int:
        """Remove the entries of ``ref`` under ``key``; returns how many there were.

        Args:
            where: only those for whose value ``where(value)`` is true (Elixir
                ``unregister_match``).
        """
        bucket = self._table.get(key)
        mine = bucket.members.get(ref, ()) if bucket is not None else ()
        doomed = mine if where is None else tuple(one for one in mine if where(one.entry.value))
        with self._lock:
            bucket = self._table.get(key)
            present = bucket.members.get(ref, ()) if bucket is not None else ()
            kept = tuple(one for one in present if one not in doomed)
            gone = len(present) - len(kept)
            if bucket is None or not gone:
                return 0
            bucket.seen = None
            self._length -= gone
            if kept:
                bucket.members[ref] = kept
            else:
                del bucket.members[ref]
                self._leave(ref, key)
                if not bucket.members:
                    del self._table[key]
            if self._listeners:
                for _ in range(gone):
                    self._notify(Unregistered(self, key, ref))
        return gone

    def release(self, key: Hashable, ref: ActorRef[Any]) -> None:
        self.unregister(key, ref)

    def lookup(self, key: Hashable) -> tuple[Entry, ...]:
        """The entries of live actors under ``key``, in the order of registration."""
        return tuple(one.entry for one in self._records(key) if one.entry.ref.is_alive())

    def _records(self, key: Hashable) -> tuple[_Record, ...]:
        bucket = self._table.get(key)
        if bucket is None:
            return ()
        seen = bucket.seen
        if seen is None:
            with self._lock:
                seen = bucket.seen = tuple(
                    record for records in bucket.members.values() for record in records
                )
        return seen

    def _items(self) -> Iterator[tuple[Hashable, Entry]]:
        with self._lock:
            keys = list(self._table)
        return ((key, record.entry) for key in keys for record in self._records(key))

    def dispatch(
        self, key: Hashable, fn: Callable[[ActorRef[Any], Any], object], message: Any = _ABSENT
    ) -> int:
        """Call ``fn(ref, value)`` here and now for each entry under ``key``.

        Nobody there, and it is not called. An entry whose actor is ending may still be seen.

        Args:
            fn: what to do with an entry, for instance ``lambda ref, value: ref.tell(value)``.
            message: what this is about; entries whose filter refuses it are passed over. Without
                one, no filter is asked.

        Returns:
            For how many entries ``fn`` returned.

        Failure: an exception of ``fn`` or of a filter stops no other entry. One ERROR in the log
        per dispatch says how many failed and shows the first; ``brama.registry.dispatch_failed`` on
        the hook bus names each. A dead actor is no failure.

        Source: Elixir ``Registry.dispatch/4``, in which the callback gets all entries at once.
        """
        if not callable(fn):
            raise ConfigError("fn", "something to call with a ref and a value", fn)
        done = 0
        failures: list[tuple[ActorRef[Any], Exception]] = []
        for record in self._records(key):
            ref, value = record.entry
            try:
                if (
                    message is not _ABSENT
                    and record.filter is not None
                    and not record.filter(message)
                ):
                    continue
                fn(ref, value)
            except pykka.ActorDeadError as error:
                if ref.is_alive():  # not of this entry: something that ``fn`` did
                    failures.append((ref, error))
            except Exception as error:  # noqa: BLE001  (reported below; the other entries have a right to theirs)
                failures.append((ref, error))
            else:
                done += 1
        if failures:
            _report(key, failures)
        return done

    def publish(self, key: Hashable, message: Any) -> int:
        """Tell ``message`` to each actor under ``key`` whose filter accepts it; returns how many.

        Failure: as of `dispatch`.
        """
        return self.dispatch(key, lambda ref, _value: ref.tell(message), message)

    def _forget(self) -> None:
        self._table = {}
        self._length = 0


def _report(key: Hashable, failures: list[tuple[ActorRef[Any], Exception]]) -> None:
    first, error = failures[0]
    logger.error(
        "dispatch to %r: %d entries failed and were passed over, the first of them %s",
        key,
        len(failures),
        first,
        exc_info=error,
    )
    for ref, each in failures:
        execute(
            hook_names.REGISTRY_DISPATCH_FAILED,
            {"count": 1},
            {
                "actor_class": ref.actor_class.__name__,
                "key": str(key),
                "error_type": type(each).__qualname__,
            },
        )
