"""The same order of tasks in each run: the one place that touches trio's private switch for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import trio._core._run as trio_run

__all__ = ["seeded_schedule"]


@contextmanager
def seeded_schedule(seed: int) -> Generator[None]:
    """Within it, trio runs the tasks that are ready in an order that ``seed`` decides.

    trio shuffles them on purpose, so that nobody relies on an order. A failure that depends on it
    is found by trying seeds, and comes back with the seed that showed it:

        >>> @pytest.mark.parametrize("seed", range(20))
        ... def test_whatever_comes_first(seed):
        ...     with seeded_schedule(seed):
        ...         trio.run(scenario)

    It holds for all loops of the process, so one loop at a time can be repeated; threads and the
    outside world keep an order of their own.
    """
    # trio's own hook for Hypothesis; there is no public one.
    loop: Any = trio_run
    before, state = loop._ALLOW_DETERMINISTIC_SCHEDULING, loop._r.getstate()
    loop._ALLOW_DETERMINISTIC_SCHEDULING = True
    loop._r.seed(seed)
    try:
        yield
    finally:
        loop._ALLOW_DETERMINISTIC_SCHEDULING = before
        loop._r.setstate(state)
