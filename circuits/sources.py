"""Sources: what tells how a connection does without making a guarded call."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any, Self

import trio

from brama.actors import Actor, ActorRef, ChildSpec, Restart, start_child, terminate_child

from .asking import THREADS
from .breaker import Breaker
from .options import Key
from .state import State

__all__ = ["Source", "Sources"]

logger = logging.getLogger("brama.circuits")


class Source:
    """Looks at a connection every so many seconds, until it is closed or its circuit is gone.

    It feeds the circuit that it was made from: each look that finds the connection down reports one
    failure; the first that finds it up again, and further ones until the circuit is closed, report
    a success. While all is well it reports nothing, so it hides no failures of calls.

    Args:
        breaker: of the circuit.
        every: seconds from one look to the next.

    Threads: from any. As a context manager it closes at the end.
    """

    def __init__(self, breaker: Breaker, every: float) -> None:
        self.breaker = breaker
        self.every = every
        self.closed = False
        self._accuses = False

    async def look(self, threads: trio.CapacityLimiter) -> None:
        """Look once, on Brama's loop."""
        raise NotImplementedError

    def close(self) -> None:
        """Look no more. Idempotent."""
        if not self.closed:
            self.closed = True
            self.breaker.shared.sources.remove(self)

    def _found_down(self, reason: str) -> None:
        self._accuses = True
        self.breaker.report_failure(reason, ours=True)

    def _found_up(self) -> None:
        if self._accuses:
            self.breaker.report_success(ours=True)
            self._accuses = self.breaker.state is not State.CLOSED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"every {self.every:g} s"
        return f"<{type(self).__name__} of {self.breaker.name!r}, {state}>"


class Sources:
    """The sources of one system; each has an actor that looks for it.

    Args:
        call_soon: runs a function on the loop of the actor system and starts that system when it
            is not running yet. It must not wait.

    Threads: `add`, `remove` and `holds` from any; the rest on the loop.
    """

    def __init__(self, call_soon: Callable[..., object]) -> None:
        self._call_soon = call_soon
        self._lock = threading.Lock()
        self._ids = count(1)
        # Invariant: both are written under the lock.
        self._table: dict[Source, int] = {}
        self._keys: Counter[Key] = Counter()
        self.supervisor: ActorRef[Any] | None = None
        self.threads = trio.CapacityLimiter(THREADS)

    def add(self, source: Source) -> None:
        """Have somebody look from now on."""
        with self._lock:
            self._table[source] = next(self._ids)
            self._keys[_key(source)] += 1
        self._call_soon(self._start, source)

    def remove(self, source: Source) -> None:
        """It is closed."""
        with self._lock:
            id = self._table.pop(source, None)
            if id is None:
                return
            self._keys[_key(source)] -= 1
            if not self._keys[_key(source)]:
                del self._keys[_key(source)]
        self._call_soon(self._stop, id)

    def holds(self, key: Key) -> bool:
        """Whether any source looks at that connection."""
        return key in self._keys

    def adopt(self, supervisor: ActorRef[Any]) -> None:
        """`supervisor` is new: give it every source."""
        self.supervisor = supervisor
        self.threads = trio.CapacityLimiter(THREADS)  # what the former lent will not come back
        for source in list(self._table):
            self._start(source)

    def _start(self, source: Source) -> None:
        id = self._table.get(source)
        if self.supervisor is not None and id is not None:
            spec = ChildSpec(("source", id), Watcher, (source, self), restart=Restart.TRANSIENT)
            _ = start_child(self.supervisor, spec)  # it may be there: adopted in between

    def _stop(self, id: int) -> None:
        if self.supervisor is not None:
            _ = terminate_child(self.supervisor, ("source", id))

    def after_fork(self) -> None:
        """In the child: what the sources hear of arrives in the parent. They end here."""
        self._lock = threading.Lock()
        for source in self._table:
            source.closed = True
        self._table = {}
        self._keys = Counter()
        self.supervisor = None

    def __len__(self) -> int:
        return len(self._table)


class Look:
    """To a watcher: it is time."""


LOOK = Look()


class Watcher(Actor):
    """Looks for one source. All that counts is in the source, so a successor just goes on."""

    def __init__(self, source: Source, sources: Sources) -> None:
        super().__init__()
        self._source = source
        self._sources = sources

    async def on_start(self) -> None:
        self.every(self._source.every, LOOK)
        self.actor_ref.tell(LOOK)

    async def on_receive(self, message: Any) -> None:
        source = self._source
        if not source.breaker.registered:
            source.close()
        if source.closed:
            self.exit()
            return
        try:
            await source.look(self._sources.threads)
        except Exception:
            # A user's function raised where it is not asked for a verdict. The next look is due.
            logger.exception("%r could not look", source)


def _key(source: Source) -> Key:
    return source.breaker.scope, source.breaker.name
