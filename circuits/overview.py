"""All circuits at a glance, a page of them, and what has changed since: what a console shows.

Reading only, and made when somebody asks: no timer runs, and nothing is kept for a closed circuit.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from heapq import nlargest, nsmallest
from operator import attrgetter, itemgetter
from types import EllipsisType, MappingProxyType
from typing import Any, Final

import attrs

from brama.telemetry import (
    ConfigError,
    TelemetryHealth,
    count_pools,
    dropped_events,
    telemetry_health,
)

from .breaker import Breaker
from .catalogue import Catalogue
from .feed import Feed
from .options import Key, check_scope, seconds, whole
from .roster import SHARDS
from .state import State, check_state
from .summary import CircuitSummary, Transition, error_rate
from .sums import CallTotals, Sums

__all__ = ["Changes", "Listing", "Overview", "Survey"]

PAGE: Final = 200
"""Circuits on one page, unless somebody asks for another number; and at most."""

CANDIDATES: Final = 1000
"""Failing circuits that are weighed exactly; of more, those with the longest rows of failures."""

PIECE: Final = 2000
"""Circuits that are counted at once: so many stay in the processor's cache between the states."""

AWAY: Final = tuple(state for state in State if state is not State.CLOSED)

ADDING: Final = 0.005
"""Seconds that one look spends on adding up the calls."""


@attrs.frozen(kw_only=True)
class Overview:
    """All circuits of a system at one instant.

    Attributes:
        taken_at: POSIX time.
        version: number of the last change; what `System.changes` goes on from.
        circuits: how many are registered.
        states: how many are in each state, as the clock says.
        pools: for each pool, how many are in each state that occurs.
        worst: those that are not closed or have failed of late, highest error rate first, of equal
            ones that with more calls.
        recent: the last transitions, newest first.
        totals: the calls of all circuits. Of very many a look adds up a part: None as long as not
            all of them were looked at, and see `CallTotals.as_of`.
        dropped: events that did not reach a subscriber, in this process, by reason.
        telemetry: whether what is exported arrives.
    """

    taken_at: float
    version: int
    circuits: int
    states: Mapping[str, int]
    pools: Mapping[str, Mapping[str, int]]
    worst: tuple[CircuitSummary, ...]
    recent: tuple[Transition, ...]
    totals: CallTotals | None
    dropped: Mapping[str, int]
    telemetry: TelemetryHealth

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "taken_at": self.taken_at,
            "version": self.version,
            "circuits": self.circuits,
            "states": dict(self.states),
            "pools": {pool: dict(states) for pool, states in self.pools.items()},
            "worst": [one.to_dict() for one in self.worst],
            "recent": [one.to_dict() for one in self.recent],
            "totals": None if self.totals is None else attrs.asdict(self.totals),
            "dropped": dict(self.dropped),
            "telemetry": self.telemetry.to_dict(),
        }


@attrs.frozen(kw_only=True)
class Listing:
    """A page of circuits, by name and then by scope.

    Attributes:
        circuits: of this page.
        matching: how many there are on all pages.
        cursor: for the next page; None behind the last one.
        version: see `Overview.version`; changes from there on may not be on the page.
    """

    circuits: tuple[CircuitSummary, ...]
    matching: int
    cursor: str | None
    version: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "circuits": [one.to_dict() for one in self.circuits],
            "matching": self.matching,
            "cursor": self.cursor,
            "version": self.version,
        }


@attrs.frozen(kw_only=True)
class Changes:
    """What has changed since a version.

    Attributes:
        version: to ask for next.
        circuits: those that have changed their state or were registered, as they are now.
        removed: the keys (scope and name) of those that are registered no more.
        complete: False if the changes since then are no longer known: list the circuits anew, and
            go on from `version`.
        more: there are further ones; ask again at once.
    """

    version: int
    circuits: tuple[CircuitSummary, ...] = ()
    removed: tuple[tuple[str | None, str], ...] = ()
    complete: bool = True
    more: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "version": self.version,
            "circuits": [one.to_dict() for one in self.circuits],
            "removed": [list(key) for key in self.removed],
            "complete": self.complete,
            "more": self.more,
        }


class Survey:
    """Looks at the circuits of one system.

    Args:
        catalogue: of the system.

    Threads: any. No lock is held but that of one circuit at a time, and other threads get their
    turns in between.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._shared = catalogue.shared
        self.sums = Sums(catalogue.shard, self._shared.wall)
        self._feed = Feed(lambda: self._shared.tray, self._scan)
        self._pools: tuple[object, Mapping[str, int]] = (None, {})
        self._bury = self._shared.gone
        self._shared.gone = self._gone

    def _gone(self, breaker: Breaker) -> None:
        self._bury(breaker)
        self.sums.bury(breaker)

    def after_fork(self) -> None:
        """In the child: all circuits count from nothing."""
        self.sums.after_fork()
        self._feed.after_fork()

    # All of them

    def overview(
        self, *, worst: int = 5, recent: int = 20, within: float | timedelta = 60.0
    ) -> Overview:
        """All circuits at a glance; see `brama.overview`."""
        count = whole("worst", worst, least=0)
        moves = whole("recent", recent, least=0)
        since = self._shared.wall() - seconds("within", within, zero=True)
        now = self._shared.clock()
        feed = self._feed
        version, members, keys = feed.look()
        astray = self._at(keys)
        elsewhere = self._by_pool(astray, now)
        total = len(self._catalogue)
        states = dict.fromkeys((state.value for state in State), 0)
        for (_, state), number in elsewhere.items():
            states[state] += number
        states["closed"] = max(0, total - sum(states.values()))
        return Overview(
            taken_at=self._shared.wall(),
            version=version,
            circuits=total,
            states=MappingProxyType(states),
            pools=MappingProxyType(self._pools_with(elsewhere, members)),
            worst=self._worst(astray, count, since, now) if count else (),
            recent=tuple(
                Transition(
                    connection=name,
                    scope=scope,
                    previous_state=previous,
                    new_state=new,
                    reason=reason,
                    at=at,
                    version=number,
                )
                for number, (_, (scope, name), previous, new, reason, at) in feed.last(moves)
            ),
            totals=self.sums.look(ADDING),
            dropped=MappingProxyType(
                {reason: number for (reason,), number in dropped_events.snapshot().items()}
            ),
            telemetry=telemetry_health(),
        )

    def _scan(self) -> dict[Key, State]:
        """All circuits that are not closed."""
        found: dict[Key, State] = {}
        for number in range(SHARDS):
            for circuit in self._catalogue.shard(number):
                breaker = circuit._breaker
                if (state := breaker.state) is not State.CLOSED:
                    found[breaker.key] = state
        return found

    def _at(self, keys: list[Key]) -> list[Breaker]:
        """The circuits of these keys, which are those that are not closed."""
        if len(keys) > len(self._catalogue) // 8:  # to walk all is quicker than to ask for each
            closed = State.CLOSED
            return [
                breaker
                for number in range(SHARDS)
                for breaker in map(_breaker, self._catalogue.shard(number))
                if breaker.state is not closed
            ]
        at = self._catalogue.at
        return [circuit._breaker for key in keys if (circuit := at(key)) is not None]

    def _by_pool(self, astray: list[Breaker], now: float) -> Mapping[tuple[str, str], int]:
        """Those that are not closed, by pool and state."""
        found: Counter[tuple[str, str]] = Counter()
        for start in range(0, len(astray), PIECE):
            some = astray[start : start + PIECE]
            for state in AWAY:
                names = [breaker.name for breaker in _in_state(some, state, now)]
                if names:
                    for pool, number in count_pools(names).items():
                        found[pool, state.value] += number
        return found

    def _pools_with(
        self, elsewhere: Mapping[tuple[str, str], int], members: int
    ) -> dict[str, Mapping[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for pool, number in self._pool_sizes(members).items():
            found[pool] = {"closed": number}
        for (pool, state), number in elsewhere.items():
            states = found.setdefault(pool, {"closed": 0})
            states[state] = number
            states["closed"] = max(0, states["closed"] - number)
        return {pool: MappingProxyType(states) for pool, states in sorted(found.items())}

    def _pool_sizes(self, members: int) -> Mapping[str, int]:
        """How many circuits each pool has: known until one comes or goes."""
        known, sizes = self._pools
        if known != members:
            counted: Counter[str] = Counter()
            for number in range(SHARDS):
                keys = self._catalogue.keys(number)
                counted.update(count_pools(map(itemgetter(1), keys)))
            sizes = counted
            self._pools = members, sizes
        return sizes

    def _worst(
        self, astray: list[Breaker], count: int, since: float, now: float
    ) -> tuple[CircuitSummary, ...]:
        closed = State.CLOSED  # to look it up for each takes longer than the rest
        found = list(astray)
        for number in range(SHARDS):
            found += [
                breaker
                for circuit in self._catalogue.shard(number)
                if (at := (breaker := circuit._breaker)._last_failure) is not None
                and at >= since
                and breaker.state is closed
            ]
        if len(found) > CANDIDATES:
            found.sort(key=attrgetter("_failures"), reverse=True)
            del found[CANDIDATES:]
        return tuple(
            CircuitSummary.of(breaker, now) for breaker in nlargest(count, found, key=error_rate)
        )

    # A page of them

    def listing(
        self,
        *,
        state: State | str | None = None,
        query: str | None = None,
        scope: str | EllipsisType | None = ...,
        limit: int = PAGE,
        cursor: str | None = None,
    ) -> Listing:
        """A page of the circuits; see `brama.listing`."""
        limit = whole("limit", limit)
        if limit > PAGE:
            raise ConfigError("limit", f"at most {PAGE}", limit)
        matches = _matcher(query)
        wanted = None if state is None else check_state(state)
        if scope is not ...:
            check_scope(scope)
        after = None if cursor is None else _place(cursor)
        now = self._shared.clock()
        version, _, astray = self._feed.look()
        found: list[Breaker] = []
        matching = 0
        for breakers in self._pieces(wanted, astray):
            some = breakers if wanted is None else _in_state(breakers, wanted, now)
            if scope is not ...:
                some = [breaker for breaker in some if breaker.scope == scope]
            if matches is not None:
                some = [breaker for breaker in some if matches(breaker.name)]
            matching += len(some)
            if after is not None:
                first = after[0]
                some = [
                    breaker for breaker in some if breaker.name >= first and _order(breaker) > after
                ]
            if len(found) > limit:  # from here on most are known to be on a later page
                last = found[-1].name
                some = [breaker for breaker in some if breaker.name <= last]
            if some:
                found = nsmallest(limit + 1, [*found, *some], key=_order)
        page = found[:limit]
        return Listing(
            circuits=tuple(CircuitSummary.of(breaker, now) for breaker in page),
            matching=matching,
            cursor=_cursor(page[-1]) if len(found) > limit else None,
            version=version,
        )

    def _pieces(self, wanted: State | None, astray: list[Key]) -> Iterable[list[Breaker]]:
        """The circuits among which those of that state are, a part at a time."""
        if wanted is not None and wanted is not State.CLOSED:
            yield self._at(astray)
            return
        for number in range(SHARDS):
            yield list(map(_breaker, self._catalogue.shard(number)))

    # What has changed

    def changes(self, since: int | None = None, *, limit: int = PAGE) -> Changes:
        """What has changed since that version; see `brama.changes`."""
        limit = whole("limit", limit)
        asked = -1 if since is None else whole("since", since, least=0)
        present, entries = self._feed.since(asked)
        if entries is None:
            return Changes(version=present, complete=False)
        now = self._shared.clock()
        changed: dict[tuple[str | None, str], None] = {}
        more = False
        version = asked
        for number, entry in entries:
            key = entry[1]
            if key not in changed and len(changed) >= limit:
                more = True
                break
            changed[key] = None
            version = number
        found = [(key, self._catalogue.at(key)) for key in changed]
        return Changes(
            version=version,
            circuits=tuple(
                CircuitSummary.of(circuit._breaker, now) for _, circuit in found if circuit
            ),
            removed=tuple(key for key, circuit in found if circuit is None),
            more=more,
        )


_breaker = attrgetter("_breaker")


def _order(breaker: Breaker) -> tuple[str, str]:
    return breaker.name, breaker.scope or ""


def _in_state(breakers: list[Breaker], wanted: State, now: float) -> list[Breaker]:
    """Those that are in this state, as the clock says."""
    late = State.OPEN
    if wanted is late:
        return [
            breaker for breaker in breakers if breaker.state is late and now < breaker.reopen_at
        ]
    if wanted is State.HALF_OPEN:
        return [
            breaker
            for breaker in breakers
            if breaker.state is wanted or (breaker.state is late and now >= breaker.reopen_at)
        ]
    return [breaker for breaker in breakers if breaker.state is wanted]


SEPARATOR: Final = "\n"  # which no name has


def _cursor(breaker: Breaker) -> str:
    return SEPARATOR.join(_order(breaker))


def _place(cursor: object) -> tuple[str, str]:
    if not isinstance(cursor, str) or cursor.count(SEPARATOR) != 1:
        raise ConfigError("cursor", "that of a listing", cursor)
    name, scope = cursor.split(SEPARATOR)
    return name, scope


def _matcher(query: object) -> Callable[[str], object] | None:
    """A text that the name contains, in whatever case; or a pattern of all of it."""
    if query is None or query == "":
        return None
    if not isinstance(query, str):
        raise ConfigError("query", "a text, or a pattern with * and ?", query)
    folded = query.casefold()
    if any(wildcard in folded for wildcard in "*?["):
        fits = re.compile(fnmatch.translate(folded)).match
        return lambda name: fits(name.casefold())
    return lambda name: folded in name.casefold()
