"""A supervisor for children that come and go: by id in constant time, ended all at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from brama.telemetry import ConfigError, takes_only

from .backoff import Backoff
from .children import ChildSpec
from .errors import ChildLimitError
from .intensity import RESTART_WORDS
from .strategy import Strategy
from .supervisor import Supervisor

__all__ = ["DynamicSupervisor"]


@takes_only("an option of a supervisor", RESTART_WORDS)
class DynamicSupervisor(Supervisor):
    """Starts children on demand and forgets those that have ended for good.

    Example:
        >>> pool = system.spawn(DynamicSupervisor, max_children=100)
        >>> job = ChildSpec("job 1", Worker, restart="temporary")
        >>> worker = start_child(pool, job).get(timeout=5)

    Options:
        intensity, period, backoff, quarantine: as of `Supervisor`.
        strategy: ``one_for_one``, there is no other.
        max_children: None for no limit. A child that waits for its restart, or is quarantined,
            keeps its place.
        extra_arguments: put before the arguments of each child, at each (re)start.

    A child that has ended and is not restarted is forgotten, with its spec, whatever its type.

    Order: none among children; told to end, it tells all of them at the same moment, and kills
    those that are left when their own deadlines have passed.

    Source: Elixir ``DynamicSupervisor``; unlike there, children have ids.
    """

    def __init__(
        self,
        *,
        strategy: Strategy | str = Strategy.ONE_FOR_ONE,
        intensity: int = 3,
        period: float | timedelta = 5.0,
        backoff: Backoff | None = None,
        max_children: int | None = None,
        extra_arguments: Sequence[Any] = (),
        quarantine: bool = False,
    ) -> None:
        super().__init__(
            strategy=strategy,
            intensity=intensity,
            period=period,
            backoff=backoff,
            quarantine=quarantine,
        )
        if self._strategy is not Strategy.ONE_FOR_ONE:
            raise ConfigError("strategy", "'one_for_one' in a DynamicSupervisor", strategy)
        if max_children is not None and (type(max_children) is not int or max_children < 1):
            raise ConfigError("max_children", "a positive number, or None", max_children)
        if isinstance(extra_arguments, str | bytes) or not isinstance(extra_arguments, Sequence):
            raise ConfigError("extra_arguments", "a sequence of arguments", extra_arguments)
        self._max_children = max_children
        self._extra_arguments = tuple(extra_arguments)

    def _check_room(self, spec: ChildSpec) -> None:
        if self._max_children is not None and len(self._children) >= self._max_children:
            raise ChildLimitError(
                spec.id, f"was refused: {self} has max_children={self._max_children} already"
            )

    def _arguments(self, spec: ChildSpec) -> tuple[Any, ...]:
        return self._extra_arguments + spec.args

    def _forgets(self, spec: ChildSpec) -> bool:
        return True

    async def _end_all(self) -> None:
        await self._end(self._children)
