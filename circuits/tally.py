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
        _add(found, pool(breaker.name), _numbers(breaker))
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
        by_pool: dict[str, list[int]] = {}
        by_state = dict.fromkeys(map(id, State), 0)  # for the hash of a state is a function
        states: dict[str, set[State]] | None = {}
        for circuit in self._circuits():
            breaker = circuit._breaker
            state = breaker.state_at(now)
            name = pool(breaker.name)
            found = by_pool.get(name)
            if found is None:
                found = by_pool[name] = [0, 0, 0, 0]
            for place, number in enumerate(_numbers(breaker)):
                found[place] += number
            by_state[id(state)] += 1
            if states is not None:
                states.setdefault(name, set()).add(state)
                if len(states) > STATUS_LIMIT:
                    states = None
        if self._shared.asked:
            self._shared.settle()
        counts: Counts = {(state.value,): by_state[id(state)] for state in State}
        for name, numbers in by_pool.items():
            _add(calls, name, numbers)
        with self._lock:
            for key, shown in self._shown.items():
                calls[key] = max(shown, calls.get(key, 0))
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


OUTCOMES: Final = ("success", "failure", "ignored", "rejected")


def _numbers(breaker: Breaker) -> tuple[int, int, int, int]:
    """The calls of one circuit, in the order of the outcomes."""
    with breaker.lock:
        totals = breaker._sum()
    return totals.successes, totals.failures, totals.ignored, value(breaker.refused)


def _add(counts: Counts, name: str, numbers: Iterable[int]) -> None:
    for outcome, number in zip(OUTCOMES, numbers, strict=True):
        key = (name, outcome)
        counts[key] = counts.get(key, 0) + number
