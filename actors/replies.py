"""Replies that are given later than by the handler's return."""

from __future__ import annotations

from typing import Any, Protocol

from brama.telemetry import ConfigError

__all__ = ["Reply"]


class Debtor(Protocol):
    """The cell of the actor that owes a reply."""

    def pay(self, future: Any) -> bool: ...

    def reply(self, future: Any, result: Any) -> None: ...

    def reply_error(self, future: Any, error: BaseException) -> None: ...


class Reply:
    """The right to answer one request, made by ``self.defer_reply()``.

    Threads: any. The first of `set` and `fail` counts.
    """

    __slots__ = ("_debtor", "_future")

    def __init__(self, debtor: Debtor, future: Any) -> None:
        self._debtor = debtor
        self._future = future

    def set(self, value: Any = None) -> bool:
        """Answer with ``value``; False when the request is answered, failed, or was none."""
        if self._future is None or not self._debtor.pay(self._future):
            return False
        self._debtor.reply(self._future, value)
        return True

    def fail(self, error: BaseException) -> bool:
        """Answer with an error; False as for `set`. Raises `ConfigError` when it is none."""
        if not isinstance(error, BaseException):
            raise ConfigError("error", "an exception", error)
        if self._future is None or not self._debtor.pay(self._future):
            return False
        self._debtor.reply_error(self._future, error)
        return True
