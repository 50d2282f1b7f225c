"""Looks at all circuits of a system: at a glance, a page of them, and what has changed since.

Reading only, and made when somebody asks: no timer runs, and nothing is kept for a closed circuit.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from heapq import nsmallest
from math import inf
from types import EllipsisType, MappingProxyType
from typing import Final, Literal

from brama.telemetry import (
    ConfigError,
    dropped_events,
    telemetry_health,
)

from .breaker import Breaker
from .catalogue import Catalogue
from .feed import Feed
from .glance import Glance, Residents
from .options import Key, check_scope, seconds, whole
from .overview import Changes, Listing, Overview
from .roster import SHARDS
from .state import State, check_state
from .summary import CircuitSummary, Transition
from .sums import Sums
from .worst import Worst

__all__ = ["Survey"]

PAGE: Final = 200
"""Circuits on one page, unless somebody asks for another number; and at most."""

ORDERS: Final = ("name", "error_rate")

ADDING: Final = 0.005
"""Seconds that one look spends on adding up the calls."""


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
        self.sums = Sums(catalogue.keys, catalogue.at, self._shared.wall)
        self._feed = Feed(lambda: self._shared.tray)
        self._residents: Residents | None = None
        self._bury = self._shared.gone
        self._shared.gone = self._gone

    def _gone(self, breaker: Breaker) -> None:
        self._bury(breaker)
        self.sums.bury(breaker)

    def after_fork(self) -> None:
        """In the child: all circuits count from nothing."""
        self.sums.after_fork()
        self._feed.after_fork()

    def _shard(self, number: int) -> list[Breaker]:
        return [circuit._breaker for circuit in self._catalogue.shard(number)]

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
        version, members = feed.look()
        glance, failing = self._look(members, now, since if count else None)
        states = {state.value: glance.states[state.value] for state in State}
        states["closed"] = glance.circuits - glance.states.total()
        return Overview(
            taken_at=self._shared.wall(),
            version=version,
            circuits=glance.circuits,
            states=MappingProxyType(states),
            pools=MappingProxyType(
                {pool: MappingProxyType(states) for pool, states in glance.pools().items()}
            ),
            worst=tuple(CircuitSummary.of(breaker, now) for breaker in failing.take(count)),
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

    def _look(self, members: int, now: float, since: float | None) -> tuple[Glance, Worst]:
        """One pass over all circuits; without `since` nobody asks for the worst."""
        closed = State.CLOSED  # to look it up for each takes longer than the rest
        known = self._residents
        fresh = known is None or known.members != members
        residents = Residents(members) if known is None or fresh else known
        glance, failing = Glance(residents, now), Worst(since or 0.0)
        for number in range(SHARDS):
            breakers = self._shard(number)
            away = [breaker for breaker in breakers if breaker.state is not closed]
            if fresh:
                residents.add(breakers)
            glance.add(breakers, away)
            if since is not None:
                failing.add(breakers, away)
        self._residents = residents
        return glance, failing

    # A page of them

    def listing(
        self,
        *,
        state: State | str | None = None,
        query: str | None = None,
        scope: str | EllipsisType | None = ...,
        limit: int = PAGE,
        cursor: str | None = None,
        order: Literal["name", "error_rate"] = "name",
    ) -> Listing:
        """A page of the circuits; see `brama.listing`."""
        limit = whole("limit", limit)
        if limit > PAGE:
            raise ConfigError("limit", f"at most {PAGE}", limit)
        if order not in ORDERS:
            raise ConfigError("order", f"one of {', '.join(map(repr, ORDERS))}", order)
        matches = _matcher(query)
        wanted = None if state is None else check_state(state)
        if scope is not ...:
            check_scope(scope)
        after = None if cursor is None else _place(cursor)
        now = self._shared.clock()
        version, _ = self._feed.look()
        if order == "error_rate":
            if after is not None:
                hint = "There is one page of the worst: narrow it by state, query or scope."
                raise ConfigError("cursor", "left out with order='error_rate'", cursor, hint=hint)
            failing, matching = self._failing(wanted, matches, scope, now)
            return Listing(
                circuits=tuple(CircuitSummary.of(one, now) for one in failing.take(limit)),
                matching=matching,
                cursor=None,
                version=version,
            )
        found: list[Key] = []
        matching = 0
        for number in range(SHARDS):
            # From here on most may be known to be on a later page.
            last = found[-1][1] if len(found) > limit else None
            if wanted is None:
                some = self._catalogue.keys(number)
            else:
                there = _in_state(self._shard(number), wanted, now)
                if matches is None and scope is ... and last is not None:
                    matching += len(there)  # the others are not asked for their keys
                    there = [breaker for breaker in there if breaker.name <= last]
                    matching -= len(there)
                some = [breaker.key for breaker in there]
            if scope is not ...:
                some = [key for key in some if key[0] == scope]
            if matches is not None:
                some = [key for key in some if matches(key[1])]
            matching += len(some)
            if after is not None:
                first = after[0]
                some = [key for key in some if key[1] >= first and _order(key) > after]
            if last is not None:
                some = [key for key in some if key[1] <= last]
            if some:
                found = nsmallest(limit + 1, [*found, *some], key=_order)
        page = found[:limit]
        return Listing(
            circuits=tuple(self._summaries(page, now)),
            matching=matching,
            cursor=SEPARATOR.join(_order(page[-1])) if len(found) > limit else None,
            version=version,
        )

    def _failing(
        self,
        wanted: State | None,
        matches: Callable[[str], object] | None,
        scope: str | EllipsisType | None,
        now: float,
    ) -> tuple[Worst, int]:
        """The candidates among those that match, and how many match."""
        closed, failing, matching = State.CLOSED, Worst(since=-inf), 0
        for number in range(SHARDS):
            some = self._shard(number)
            if wanted is not None:
                some = _in_state(some, wanted, now)
            if scope is not ...:
                some = [breaker for breaker in some if breaker.scope == scope]
            if matches is not None:
                some = [breaker for breaker in some if matches(breaker.name)]
            matching += len(some)
            failing.add(some, [breaker for breaker in some if breaker.state is not closed])
        return failing, matching

    def _summaries(self, keys: Iterable[Key], now: float) -> Iterator[CircuitSummary]:
        """Of those that are still there."""
        for key in keys:
            circuit = self._catalogue.at(key)
            if circuit is not None:
                yield CircuitSummary.of(circuit._breaker, now)

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


def _order(key: Key) -> tuple[str, str]:
    return key[1], key[0] or ""


def _in_state(breakers: list[Breaker], wanted: State, now: float) -> list[Breaker]:
    """Those that are in this state, as the clock says."""
    late = State.OPEN
    if wanted is late:
        some = [breaker for breaker in breakers if breaker.state is late]
        return [breaker for breaker in some if now < breaker.reopen_at]
    if wanted is State.HALF_OPEN:
        return [
            breaker
            for breaker in breakers
            if breaker.state is wanted or (breaker.state is late and now >= breaker.reopen_at)
        ]
    return [breaker for breaker in breakers if breaker.state is wanted]


SEPARATOR: Final = "\n"  # which no name has


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
