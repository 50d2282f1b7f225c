"""Many globs at once: which of them a name fits, without asking each."""

from __future__ import annotations

import re
from collections import Counter

from brama.circuits import matcher

__all__ = ["Globs"]

REMEMBERED = 10_000
"""Names whose globs are remembered, so that no event is held against them twice."""


class Globs:
    """Finds those of many globs that a name fits.

    They are ordered by the text before their first wildcard, and what was found for a name is
    remembered, so that the second look costs what was found and not what there is.

    Threads: `add` and `remove` under the lock of their owner, `of` from any.
    """

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()
        self._by_start: dict[str, dict[str, None]] = {}
        self._lengths: tuple[int, ...] = ()
        # Replaced at each change. What a reader finds meanwhile goes into the one that it began
        # with, so that nothing outdated is remembered.
        self._known: dict[str, tuple[str, ...]] = {}

    def add(self, glob: str) -> None:
        """One more use of `glob`."""
        self._uses[glob] += 1
        if self._uses[glob] == 1:
            self._by_start.setdefault(_start(glob), {})[glob] = None
            self._changed()

    def remove(self, glob: str) -> None:
        """One use less."""
        self._uses[glob] -= 1
        if self._uses[glob] == 0:
            del self._uses[glob]
            start = _start(glob)
            del self._by_start[start][glob]
            if not self._by_start[start]:
                del self._by_start[start]
            self._changed()

    def _changed(self) -> None:
        self._lengths = tuple({len(start) for start in list(self._by_start)})
        self._known = {}

    def of(self, name: str) -> tuple[str, ...]:
        """The globs that `name` fits."""
        known = self._known
        found = known.get(name)
        if found is None:
            found = tuple(
                glob
                for length in self._lengths
                for glob in list(self._by_start.get(name[:length], ()))
                if length <= len(name) and matcher(glob)(name)
            )
            if len(known) < REMEMBERED:
                known[name] = found
        return found


def _start(glob: str) -> str:
    """The text before the first wildcard."""
    return re.split(r"[*?]", glob, maxsplit=1)[0]
