"""Who wants which event: a pure index, apart from the actor that uses it."""

from __future__ import annotations

from collections import Counter
from typing import Generic, Protocol, TypeVar

from brama.circuits import ALL, EVENTS, ConnectionKind, Event, is_glob, mask_of
from brama.telemetry import Turn

from .patterns import Globs

__all__ = ["Index", "Listener", "Wants"]


class Wants(Protocol):
    """What the index asks of a subscription."""

    born: int

    @property
    def events(self) -> tuple[str, ...] | None: ...

    @property
    def connection(self) -> str | None:
        """A name or a glob; None is any."""
        ...

    @property
    def scope(self) -> str | None: ...

    @property
    def kind(self) -> ConnectionKind | None: ...


class Listener(Wants, Protocol):
    """What the registry asks of whoever wants events: a subscription, or the journal."""

    @property
    def name(self) -> str: ...

    def offer(self, event: Event) -> bool:
        """Take `event`; whether it was queued for a handler. It must not wait."""
        ...


S = TypeVar("S", bound=Wants)
Name = str | tuple[str] | None
"""Of a connection: its name, a glob (apart, for a connection may be called like one), or any."""
Place = tuple[str | None, Name, str | None] | tuple[str | None, Name, str | None, ConnectionKind]
"""Event, name and scope; and the kind of connection, of those who ask for one."""
Where = tuple[Name, str | None] | tuple[Name, str | None, ConnectionKind]


class Bucket(Generic[S]):
    """Those in one place.

    Attributes:
        members: all of them, in the order in which they came.
        listed: the same to iterate over; None since the last change, so that thousands who come
            one after the other are listed once and not thousands of times.
    """

    __slots__ = ("listed", "members")

    def __init__(self) -> None:
        self.members: dict[S, None] = {}
        self.listed: tuple[S, ...] | None = None


class Index(Generic[S]):
    """Finds the subscriptions to an event in time that grows with the matches alone.

    A subscription stands in one bucket for each of its events: (event, connection, scope), where
    None stands for any, and a glob for those that fit it. An event looks into the eight buckets
    that it may match, and four more for each glob that its connection fits; into as many again
    while anybody asks for a kind of connection. A bucket is listed again after a change, so a
    reader sees it before that or after, never in between.

    Threads: from any. `add` and `remove` take one lock, `match` takes it for a bucket that has
    changed since it was last looked into, `mask` never.

    Attributes:
        version: grows with every change.
    """

    def __init__(self) -> None:
        self.version = 0
        # Also taken by whoever keeps the table of what is in here, around both changes.
        self.lock = Turn()
        # Invariant: written under the lock.
        self._buckets: dict[Place, Bucket[S]] = {}
        self._masks: dict[Where, int] = {}
        self._counts: dict[Where, Counter[int]] = {}
        # Written first: whoever finds a subscription reads a birth here that is not below its own.
        self._youngest = 0
        self._kinds = 0  # how many ask for a kind of connection
        self._globs = Globs()
        self._globbing = 0  # how many ask for a glob
        self._everywhere: Counter[int] = Counter()

    def add(self, subscription: S) -> None:
        """From now on `subscription` matches what happens after this call has returned."""
        with self.lock:
            # Its birth is one ahead of what any event under way has seen.
            self._youngest = subscription.born = self.version + 1
            name = _name(subscription)
            if isinstance(name, tuple):
                self._globs.add(name[0])
                self._globbing += 1
            self._kinds += subscription.kind is not None
            for place in _places(subscription):
                bucket = self._buckets.get(place)
                if bucket is None:
                    bucket = self._buckets[place] = Bucket()
                bucket.members[subscription] = None
                bucket.listed = None
            self._count(subscription, 1)
            self.version += 1

    def remove(self, subscription: S) -> None:
        """`subscription` matches nothing any more. Idempotent."""
        with self.lock:
            found = False
            for place in _places(subscription):
                bucket = self._buckets.get(place)
                if bucket is None or subscription not in bucket.members:
                    continue
                found = True
                del bucket.members[subscription]
                bucket.listed = None
                if not bucket.members:
                    del self._buckets[place]
            if found:
                name = _name(subscription)
                if isinstance(name, tuple):
                    self._globs.remove(name[0])
                    self._globbing -= 1
                self._kinds -= subscription.kind is not None
                self._count(subscription, -1)
                self.version += 1

    def match(
        self,
        event: str,
        connection: str,
        scope: str | None,
        version: int,
        kind: ConnectionKind | None = None,
    ) -> list[S]:
        """The subscriptions to this event that were there at `version`, each once.

        Args:
            event: its name.
            connection, scope, kind: whose it is; one of no connection has no kind.
            version: of the index, when it happened.
        """
        get = self._buckets.get
        names: tuple[Name, ...] = (connection, None)
        if self._globbing:
            names += tuple((glob,) for glob in self._globs.of(connection))
        scopes = (None,) if scope is None else (None, scope)
        found: list[S] = []
        for name in names:
            for of in scopes:
                bucket = get((event, name, of))
                if bucket is not None:
                    found += bucket.listed or self._list(bucket)
                bucket = get((None, name, of))
                if bucket is not None:
                    found += bucket.listed or self._list(bucket)
            if self._kinds and kind is not None:
                for special in (
                    (event, name, None, kind),
                    (None, name, None, kind),
                    (event, name, scope, kind),
                    (None, name, scope, kind),
                )[: 2 if scope is None else 4]:
                    bucket = get(special)
                    if bucket is not None:
                        found += bucket.listed or self._list(bucket)
        if version >= self._youngest:  # nobody has come since
            return found
        return [subscription for subscription in found if subscription.born <= version]

    def _list(self, bucket: Bucket[S]) -> tuple[S, ...]:
        with self.lock:  # a change in between would be overwritten by a list that is older
            bucket.listed = tuple(bucket.members)
            return bucket.listed

    def mask(self, connection: str, scope: str | None, kind: ConnectionKind | None = None) -> int:
        """The kinds of events that anybody wants of this connection, as bits."""
        masks = self._masks
        names: tuple[Name, ...] = (connection, None)
        if self._globbing:
            names += tuple((glob,) for glob in self._globs.of(connection))
        found = 0
        for name in names:
            found |= masks.get((name, None), 0)
            if scope is not None:
                found |= masks.get((name, scope), 0)
            if self._kinds and kind is not None:
                found |= masks.get((name, None, kind), 0)
                if scope is not None:
                    found |= masks.get((name, scope, kind), 0)
        return found

    def wants_anywhere(self, event: str) -> bool:
        """Whether anybody wants this kind of event of any connection."""
        return self._everywhere[EVENTS[event].bit] > 0

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self.lock = Turn()

    def _count(self, subscription: S, step: int) -> None:
        place = _where(subscription)
        wanted = mask_of(subscription.events)
        counts = self._counts.setdefault(place, Counter())
        mask = 0
        bit = 1
        while bit <= ALL:
            if wanted & bit:
                counts[bit] += step
                self._everywhere[bit] += step
            if counts[bit] > 0:
                mask |= bit
            bit <<= 1
        if mask:
            self._masks[place] = mask
        else:
            self._masks.pop(place, None)
            del self._counts[place]


def _places(subscription: Wants) -> list[Place]:
    names: tuple[str | None, ...] = subscription.events or (None,)
    connection, scope, kind = _name(subscription), subscription.scope, subscription.kind
    if kind is None:
        return [(name, connection, scope) for name in names]
    return [(name, connection, scope, kind) for name in names]


def _where(subscription: Wants) -> Where:
    name, scope, kind = _name(subscription), subscription.scope, subscription.kind
    return (name, scope) if kind is None else (name, scope, kind)


def _name(subscription: Wants) -> Name:
    wanted = subscription.connection
    return (wanted,) if wanted is not None and is_glob(wanted) else wanted
