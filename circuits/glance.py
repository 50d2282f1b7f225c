"""One pass over very many circuits: how many of which pool are in which state.

What it costs is to fetch the memory of each circuit. So a shard is fetched once, and all that is
asked of it is asked while it is in the processor's cache; its names lie elsewhere, and are asked
for only when a circuit has come or gone.
"""

from __future__ import annotations

from collections import Counter
from itertools import compress
from typing import Final

from brama.telemetry import OTHER_POOL, have_pools

from .breaker import Breaker
from .state import State

__all__ = ["Glance", "Residents"]

AWAY: Final = tuple(state for state in State if state is not State.CLOSED)


class Residents:
    """How many circuits each pool has, and which of them have one of their own.

    Good until a circuit comes or goes: `members` is the number that `Feed.look` had for that.
    """

    def __init__(self, members: int) -> None:
        self.members = members
        self.sizes: Counter[str] = Counter()
        self.own: dict[int, str] = {}  # by the circuit's id, which keeps nobody alive

    def add(self, breakers: list[Breaker]) -> None:
        names = [breaker.name for breaker in breakers]
        own = have_pools(names)
        pools = list(compress(names, own))
        self.own.update(zip(map(id, compress(breakers, own)), pools, strict=True))
        self.sizes.update(pools)
        if len(pools) < len(names):
            self.sizes[OTHER_POOL] += len(names) - len(pools)


class Glance:
    """What a pass has found so far.

    Args:
        residents: of the same circuits.
        now: by the clock of the circuits.

    Attributes:
        circuits: how many there are.
        states: how many are in each state but closed, as the clock says.
    """

    def __init__(self, residents: Residents, now: float) -> None:
        self.circuits = 0
        self.states: Counter[str] = Counter()
        self._residents = residents
        self._now = now
        self._own: Counter[tuple[str, str]] = Counter()

    def add(self, breakers: list[Breaker], away: list[Breaker]) -> None:
        """Count these circuits, of which those in `away` are not closed."""
        self.circuits += len(breakers)
        if away:
            self._count(away)

    def _count(self, away: list[Breaker]) -> None:
        """Each in one state, whatever moves meanwhile: it is read once."""
        late = State.OPEN
        states = [breaker.state for breaker in away]
        if states.count(late) == len(states):
            self._count_open(away)
            return
        for state in AWAY:
            some = [breaker for breaker, at in zip(away, states, strict=True) if at is state]
            if state is late:
                self._count_open(some)
            else:
                self._put(state, some)

    def _count_open(self, some: list[Breaker]) -> None:
        """An open circuit whose time is over is half-open."""
        now = self._now
        ends = [breaker.reopen_at for breaker in some]
        if ends and min(ends) <= now:
            over = [end <= now for end in ends]
            self._put(State.HALF_OPEN, list(compress(some, over)))
            some = [breaker for breaker, end in zip(some, ends, strict=True) if end > now]
        self._put(State.OPEN, some)

    def _put(self, state: State, some: list[Breaker]) -> None:
        if not some:
            return
        self.states[state.value] += len(some)
        own = self._residents.own
        pools = map(own.__getitem__, filter(own.__contains__, map(id, some)))
        for pool, number in Counter(pools).items():
            self._own[pool, state.value] += number

    def pools(self) -> dict[str, dict[str, int]]:
        """For each pool, how many are in each state that occurs."""
        found = {pool: {"closed": size} for pool, size in sorted(self._residents.sizes.items())}
        elsewhere = self._own.copy()
        for state, number in self.states.items():
            own = sum(many for (_, at), many in self._own.items() if at == state)
            if number > own:
                elsewhere[OTHER_POOL, state] += number - own
        for (pool, state), number in elsewhere.items():
            # It may have come since the pools were counted.
            states = found.setdefault(pool, {"closed": number})
            states[state] = number
            states["closed"] = max(0, states["closed"] - number)
        return found
