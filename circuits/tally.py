"""The counts of all circuits of one system, by pool: what metrics show of them.

Circuits count for themselves, without a lock; nothing is counted again here. The figures are added
up when metrics are collected, in the thread that collects.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from brama.telemetry import metric_names, pool, source

from .breaker import Breaker
from .circuit import Circuit
from .generation import value
from .shared import Shared
from .state import State

__all__ = ["Tally"]

Counts = dict[tuple[str, ...], float]
STATUS_LIMIT: Final = 200
"""Circuits whose state is shown one by one; each is a series for every state."""


@attrs.define
class _Pass:
    """What one pass over the circuits has found. Each figure is handed out once."""

    calls: Counts = attrs.field(factory=dict)
    counts: Counts | None = None
    status: Counts | None = None


class Tally:
    """Adds up the circuits.

    Args:
        circuits: gives the registered ones, in pieces.
        shared: of the system; tells of circuits that are removed.

    Threads: any.
    """

    def __init__(self, circuits: Callable[[], Iterable[Circuit]], shared: Shared) -> None:
        self._circuits = circuits
        self._shared = shared
        self._epoch = shared.source
        self._gone: Counts = {}
        self._last = _Pass()
        self._shown: Counts = {}
        # Invariant: guards _gone, _shown and _epoch. Never held while a breaker's lock is taken.
        self._lock = threading.Lock()
        shared.gone = self.bury

    def show(self) -> None:
        """Have metrics show the counts, for as long as this lives."""
        source(metric_names.CALLS, self.calls)
        source(metric_names.CIRCUITS, self.counts)
        source(metric_names.STATUS, self.status)

    def calls(self) -> Counts:
        """Calls by pool and outcome; those of circuits that were removed among them."""
        self._last = self._look()
        return self._last.calls

    def counts(self) -> Counts:
        """Circuits by state."""
        last = self._last
        found, last.counts = last.counts, None
        return found if found is not None else self._look().counts or {}

    def status(self) -> Counts:
        """1 for the state that a circuit is in and 0 for the others; {} for too many circuits."""
        last = self._last
        found, last.status = last.status, None
        return found if found is not None else self._look().status or {}

    def bury(self, breaker: Breaker) -> None:
        """`breaker` is being removed: what it has counted must stay."""
        found: Counts = {}
        _add_calls(found, breaker)
        with self._lock:
            self._look_for_fork()
            for key, number in found.items():
                self._gone[key] = self._gone.get(key, 0) + number

    def _look(self) -> _Pass:
        now = self._shared.clock()
        # First those that are gone: a circuit that goes during the pass is missing in it rather
        # than counted twice, and what was shown before is not undercut.
        with self._lock:
            self._look_for_fork()
            calls = self._gone.copy()
        counts: Counts = dict.fromkeys(((state.value,) for state in State), 0)
        states: dict[str, set[State]] | None = {}
        for circuit in self._circuits():
            breaker = circuit._breaker
            state = breaker.state_at(now)
            name = _add_calls(calls, breaker)
            counts[state.value,] += 1
            if states is not None:
                states.setdefault(name, set()).add(state)
                if len(states) > STATUS_LIMIT:
                    states = None
        with self._lock:
            for key, number in self._shown.items():
                calls[key] = max(number, calls.get(key, 0))
            self._shown = calls
        status: Counts = {
            (name, state.value): float(state in present)
            for name, present in (states or {}).items()
            for state in State
        }
        return _Pass(calls, counts, status)

    def _look_for_fork(self) -> None:
        # In a child all circuits count from nothing, and so do those that are gone.
        if self._shared.source != self._epoch:
            self._epoch = self._shared.source
            self._gone = {}
            self._shown = {}

    def after_fork(self) -> None:
        """Whoever held the lock is not there to release it."""
        self._lock = threading.Lock()


def _add_calls(counts: Counts, breaker: Breaker) -> str:
    """Add the calls of one circuit; its pool."""
    name = pool(breaker.name)
    with breaker.lock:
        totals = breaker._sum()
    for outcome, number in (
        ("success", totals.successes),
        ("failure", totals.failures),
        ("ignored", totals.ignored),
        ("rejected", value(breaker.refused)),
    ):
        key = (name, outcome)
        counts[key] = counts.get(key, 0) + number
    return name
