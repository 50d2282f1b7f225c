"""Globs: one name that stands for many, ``payment_*`` for instance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from brama.circuits import EVENTS, check_events

__all__ = ["Globs", "covers", "event_names", "is_glob"]

REMEMBERED = 10_000
"""Names whose globs are remembered, so that no event is held against them twice."""


def is_glob(text: str) -> bool:
    """Whether `text` stands for more than itself: ``*`` is any text, ``?`` any one character."""
    return "*" in text or "?" in text


def covers(wanted: str | None, name: str) -> bool:
    """Whether `name` is `wanted`, a name or a glob; None is any."""
    return wanted is None or wanted == name or (is_glob(wanted) and matcher(wanted)(name))


@lru_cache(maxsize=1024)
def matcher(glob: str) -> Callable[[str], bool]:
    """Whether a name is one that `glob` stands for."""
    source = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in glob)
    match = re.compile(source, re.DOTALL).fullmatch
    return lambda name: match(name) is not None


def event_names(events: Iterable[str] | None) -> tuple[str, ...] | None:
    """`events` as known names, each wildcard replaced by what it stands for; None is all.

    Raises:
        ConfigError: not a list of names, an empty one, or a name or wildcard that fits no event.
    """
    if events is None or isinstance(events, str):
        return check_events(events)
    try:
        given: list[Any] = list(events)
    except TypeError:
        return check_events(events)
    names: list[Any] = []
    for one in given:
        found = (
            [name for name in EVENTS if matcher(one)(name)]
            if isinstance(one, str) and is_glob(one)
            else []
        )
        names += found or [one]
    checked = check_events(names)
    return None if checked is not None and len(checked) == len(EVENTS) else checked


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

    def __bool__(self) -> bool:
        return bool(self._uses)


def _start(glob: str) -> str:
    """The text before the first wildcard."""
    return re.split(r"[*?]", glob, maxsplit=1)[0]
