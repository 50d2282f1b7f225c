"""The circuits that one adapter has made: a bounded number."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from typing import Any

from brama.telemetry import ConfigError

from ..circuit import Circuit
from ..connection_kind import ConnectionKind
from ..policy import Policy
from ..provider import Provider
from ..state import State

__all__ = ["Hosts"]

LOOKED_AT = 32


class Hosts:
    """Circuits by name, the least recently used of which makes way for a new one.

    Open ones and those with calls under way stay as long as others can go. Only circuits that were
    made here are ever removed.

    Threads: any.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        scope: str | None,
        policy: Policy | None,
        kind: ConnectionKind | str = ConnectionKind.SERVICE,
        options: Mapping[str, Any],
        limit: int,
    ) -> None:
        self._provider = provider
        self._scope = scope
        self._policy = policy
        self._kind = kind
        self._options = options
        self._limit = limit
        self._lock = threading.Lock()
        # Invariant: changed and read under the lock; nothing else is called under it.
        self._made: OrderedDict[str, Circuit] = OrderedDict()

    def circuit(self, name: str) -> Circuit:
        """The circuit of that name; one that somebody else has made is used as it is.

        Raises:
            ConfigError: `name` is none.
        """
        with self._lock:
            circuit = self._made.get(name)
            if circuit is not None:
                self._made.move_to_end(name)
                return circuit
        found = self._provider.find(name, scope=self._scope)
        if found is not None:
            return found
        try:
            circuit = self._provider.circuit(
                name,
                scope=self._scope,
                policy=self._policy,
                kind=self._kind,
                **self._options,
            )
        except ConfigError:
            found = self._provider.find(name, scope=self._scope)
            if found is None:
                raise
            return found  # somebody else has made it just now, with other options
        with self._lock:
            self._made[name] = circuit
            self._made.move_to_end(name)
            oldest = list(islice(self._made.items(), LOOKED_AT))
            excess = len(self._made) - self._limit
        if excess > 0:
            self._remove([one for one in oldest if one[0] != name])
        return circuit

    def _remove(self, oldest: list[tuple[str, Circuit]]) -> None:
        idle = [one for one in oldest if one[1].status().in_flight == 0]
        closed = [one for one in idle if one[1].state is State.CLOSED]
        for name, _circuit in (closed or idle)[:1]:
            with self._lock:
                gone = self._made.pop(name, None)
            if gone is not None:
                self._provider.unregister(name, scope=self._scope)

    def __len__(self) -> int:
        with self._lock:
            return len(self._made)
