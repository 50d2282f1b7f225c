"""Globs: one name that stands for many, ``payment_*`` for instance. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from .events import EVENTS, check_events

__all__ = ["covers", "event_names", "is_glob", "matcher"]


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
    if events is None or isinstance(events, str | bytes | bytearray):
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
