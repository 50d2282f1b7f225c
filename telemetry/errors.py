"""The root of every error that Brama raises.

    BramaError
    ├── ConfigError (also a ValueError)     a value given to Brama is wrong
    │   └── UnknownOptionError (also a TypeError)   there is no such option; in `keywords`
    └── …                                   each package's own tree, in its ``errors.py``

The root stands on the lowest floor because every package above derives from it;
users know it as `brama.BramaError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

__all__ = ["BramaError", "ConfigError", "unknown"]


class BramaError(Exception):
    """Root of the errors raised by Brama."""


class ConfigError(BramaError, ValueError):
    """A value given to Brama is wrong; raised where it is given, never later.

    The text names the option, what was expected and what was got.

    Example:
        >>> raise ConfigError("expiry", "a positive number of seconds", -1)
        Traceback (most recent call last):
        ...
        brama.telemetry.errors.ConfigError: expiry must be a positive number of seconds, got: -1
    """

    def __init__(self, option: str, expected: str, got: Any, *, hint: str = "") -> None:
        super().__init__(option, expected, got)
        self.option = option
        self.expected = expected
        self.got = got
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.option} must be {self.expected}, got: {self.got!r}"
        return f"{text}. {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        got = self.got
        if not isinstance(got, str | int | float | bool | type(None)):
            got = _Shown(repr(got))  # what was given may be anything, a lock for example
        return _rebuild, (type(self), self.option, self.expected, got, self.hint)


class _Shown(str):
    """What a value looked like in the process that it did not leave."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _rebuild(
    cls: type[ConfigError], option: str, expected: str, got: Any, hint: str
) -> ConfigError:
    return cls(option, expected, got, hint=hint)


def unknown(option: str, got: object, known: Sequence[str]) -> ConfigError:
    """A `ConfigError` for a word outside a list; it names the list and the nearest word."""
    near = get_close_matches(str(got), known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else ""
    return ConfigError(option, "one of " + ", ".join(known), got, hint=hint)
