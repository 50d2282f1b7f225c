"""Keywords that there are not: an error that tells the nearest, for all who take many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature
from types import MappingProxyType
from typing import Any, TypeVar

from .errors import ConfigError, unknown

__all__ = ["UnknownOptionError", "takes_only", "unknown_option"]

T = TypeVar("T", bound=type)

_NO_WORDS: Mapping[str, str] = MappingProxyType({})


class UnknownOptionError(ConfigError, TypeError):
    """An option that there is not; a `TypeError` as well, which is what Python calls it."""


def unknown_option(
    option: str, got: str, known: Sequence[str], words: Mapping[str, str] = _NO_WORDS
) -> UnknownOptionError:
    """The error for a keyword that nobody takes.

    Args:
        option: what it should have been: ``"an option of a circuit"``.
        got: the keyword.
        known: those that there are.
        words: what others call them, and what to do instead: another option's name, or a sentence.
    """
    plain = unknown(option, got, known)
    hint = words.get(got, "")
    if hint in known:
        hint = f"It is called {hint!r} here."
    return UnknownOptionError(option, plain.expected, got, hint=hint or plain.hint)


def takes_only(option: str, words: Mapping[str, str] = _NO_WORDS) -> Callable[[T], T]:
    """A decorator of classes whose ``__init__`` takes options.

    What it is given wrongly is an `UnknownOptionError` instead of a bare `TypeError`; every other
    `TypeError` stays what it is. A right call costs one call more.

    Args:
        option, words: as for `unknown_option`.

    Example:
        >>> @takes_only("an option of a fence", {"width": "length"})
        ... class Fence:
        ...     def __init__(self, *, length=1): ...
        >>> Fence(width=2)
        Traceback (most recent call last):
        ...
        brama.telemetry.keywords.UnknownOptionError: an option of a fence must be one of length, \
got: 'width'. It is called 'length' here.
    """

    def decorate(cls: T) -> T:
        made: Any = cls  # whose `__init__` is one of many, to a type checker
        init = made.__init__

        @wraps(init)
        def checked(self: Any, *args: Any, **options: Any) -> None:
            try:
                init(self, *args, **options)
            except TypeError:
                known = list(signature(init).parameters)[1:]
                for name in options:
                    if name not in known:
                        raise unknown_option(option, name, known, words) from None
                raise

        made.__init__ = checked
        return cls

    return decorate
