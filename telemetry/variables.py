"""Typed reading of single environment variables, with errors that name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import TypeVar
from urllib.parse import unquote

from .errors import ConfigError, unknown

__all__ = ["Variables"]

N = TypeVar("N", int, float)


class Variables:
    """Typed reading of single variables. An empty one is unset."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        return self._environ.get(name, "").strip() or None

    def flag(self, name: str) -> bool:
        text = self.text(name)
        if text is None:
            return False
        if text.lower() not in {"true", "false"}:
            raise ConfigError(name, "true or false", text)
        return text.lower() == "true"

    def choice(self, name: str, known: tuple[str, ...], default: str) -> str:
        text = self.text(name)
        if text is None:
            return default
        if text.lower() not in known:
            raise unknown(name, text, known)
        return text.lower()

    def number(self, name: str, default: float) -> float:
        return self._parsed(name, default, float, "a number above 0", lambda n: 0 < n < inf)

    def whole(self, name: str, default: int) -> int:
        return self._parsed(name, default, int, "a whole number above 0", lambda n: n > 0)

    def limit(self, name: str) -> int | None:
        if (self.text(name) or "none").lower() == "none":
            return None
        return self._parsed(name, 0, int, "a whole number from 0 on", lambda n: n >= 0)

    def port(self, name: str, default: int) -> int:
        return self._parsed(name, default, int, "a port from 0 to 65535", lambda n: 0 <= n <= 65535)

    def ratio(self, name: str) -> float:
        return self._parsed(name, 1.0, float, "a number from 0 to 1", lambda n: 0 <= n <= 1)

    def pairs(self, name: str) -> dict[str, str]:
        """A list like ``key=value,key=value``, percent-encoded as in W3C Baggage."""
        found: dict[str, str] = {}
        for number, pair in enumerate((self.text(name) or "").split(","), 1):
            key, equals, value = pair.partition("=")
            if equals and key.strip():
                found[unquote(key.strip())] = unquote(value.strip())
            elif pair.strip():
                # Not the text itself: headers hold credentials, and errors end up in logs.
                raise ConfigError(
                    name, "a list like key=value,key=value", f"an entry {number} without '='"
                )
        return found

    def _parsed(
        self,
        name: str,
        default: N,
        parse: Callable[[str], N],
        expected: str,
        fits: Callable[[N], bool],
    ) -> N:
        text = self.text(name)
        if text is None:
            return default
        try:
            number = parse(text)
        except ValueError:
            raise ConfigError(name, expected, text) from None
        if not fits(number):
            raise ConfigError(name, expected, text)
        return number

    def of_signal(self, signal: str, suffix: str) -> str:
        """The name of the variable that holds: the signal's own if it is set."""
        own = f"OTEL_EXPORTER_OTLP_{signal}_{suffix}"
        return own if self.text(own) else f"OTEL_EXPORTER_OTLP_{suffix}"
