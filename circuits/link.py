"""Links: the opening and closing of what a connection consists of: a session, a socket, a pool."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from brama.telemetry import ConfigError

from .breaker import Breaker
from .fault import NO_FAULT, check_fault, fault_of
from .reason import describe

__all__ = ["Link"]

logger = logging.getLogger("brama.circuits")

T = TypeVar("T")
Hook = Callable[[], object]


class Link(Generic[T]):
    """One session, socket or pool: `Circuit.link` makes it.

    Entering enters the resource and then tells that it is ``connected``; leaving leaves it and then
    tells that it is ``disconnected``, each exactly once. What cannot be entered is a failure of the
    circuit, and neither event.

    Attributes:
        resource: what was given, or what entering it gave.
        hook_errors: how often a hook has raised.

    Threads: from any. Your hooks run in the thread that opens or closes.
    """

    def __init__(
        self,
        breaker: Breaker,
        resource: T = None,  # type: ignore[assignment]  # then it is a Link[None]
        *,
        on_connect: Hook | None = None,
        on_disconnect: Hook | None = None,
    ) -> None:
        for option, hook in (("on_connect", on_connect), ("on_disconnect", on_disconnect)):
            if hook is not None and not callable(hook):
                raise ConfigError(option, "a function without arguments", hook)
        self._breaker = breaker
        self._given: Any = resource
        self.resource: T = resource
        self.hook_errors = 0
        self._on_connect = on_connect
        self._on_disconnect = on_disconnect
        # Invariant: both are written under the lock. Whoever turns one from False to True tells.
        self._lock = threading.Lock()
        self._up = False
        self._down = False

    @property
    def connected(self) -> bool:
        """Whether it was opened and not closed."""
        return self._up and not self._down

    def open(self) -> None:
        """Tell that it is connected; for what is no context manager. Idempotent."""
        with self._lock:
            first, self._up = not self._up, True
        if first:
            self._breaker.announce("connected", {"reason": None})
            self._call(self._on_connect)

    def close(
        self,
        reason: str | None = None,
        *,
        failed: bool = False,
        error_type: str | None = None,
        error_code: str | int | None = None,
    ) -> None:
        """Tell that it is disconnected. Idempotent; nothing if it was never connected.

        Args:
            reason: why, for the event.
            failed: whether it broke, which is a failure of the circuit.
            error_type, error_code: what broke it is called so in the data of events.

        Raises:
            ConfigError: one of these is of another type.
        """
        named = check_fault(error_type, error_code) or NO_FAULT
        with self._lock:
            first = self._up and not self._down
            self._down = self._down or first
        if not first:
            return
        fields = {"reason": reason, "error_type": named[0], "error_code": named[1]}
        self._breaker.announce("disconnected", fields)
        if failed:
            self._breaker.report_failure(reason, named=named)
        self._call(self._on_disconnect)

    def _call(self, hook: Hook | None) -> None:
        if hook is None:
            return
        try:
            hook()
        except Exception:
            # The connection works whatever the hook thinks of it.
            self.hook_errors += 1
            logger.exception("a hook of circuit %r raised", self._breaker.name)

    def __enter__(self) -> T:
        enter = getattr(type(self._given), "__enter__", None)
        if enter is not None:
            try:
                self.resource = enter(self._given)
            except Exception as error:
                self._breaker.report_failure(describe(error), error=error)
                raise
        self.open()
        return self.resource

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        leave = getattr(type(self._given), "__exit__", None)
        try:
            return leave is not None and bool(leave(self._given, kind, error, traceback))
        finally:
            self._left(error)

    async def __aenter__(self) -> T:
        enter = getattr(type(self._given), "__aenter__", None)
        if enter is None:
            return self.__enter__()
        try:
            self.resource = await enter(self._given)
        except Exception as error:
            self._breaker.report_failure(describe(error), error=error)
            raise
        self.open()
        return self.resource

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        leave = getattr(type(self._given), "__aexit__", None)
        if leave is None:
            return self.__exit__(kind, error, traceback)
        try:
            return bool(await leave(self._given, kind, error, traceback))
        finally:
            self._left(error)

    def _left(self, error: BaseException | None) -> None:
        kind, code = fault_of(error)
        reason = None if error is None else describe(error)
        self.close(reason, error_type=kind, error_code=code)

    def __repr__(self) -> str:
        state = "connected" if self.connected else "closed" if self._down else "not opened"
        return f"<Link of {self._breaker.name!r}, {state}>"
