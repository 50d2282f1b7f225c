"""An address that looks a name up at each send."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import pykka

from .errors import NameNotFoundError
from .future import Future
from .ref import ActorRef

__all__ = ["Via"]


class Directory(Protocol):
    """The names, as far as a via needs them."""

    def whereis(self, name: Hashable) -> ActorRef[Any] | None: ...

    def _undelivered(self, name: Hashable, message: object) -> None: ...


class Via:
    """``names.via(name)``: tell and ask whoever holds the name at that moment.

    Failure: a tell to a name that nobody holds is a dead letter, as a cast is in OTP; an ask fails
    with `NameNotFoundError`.

    Threads: any.

    Source: Elixir's ``{:via, Registry, {registry, name}}``.
    """

    __slots__ = ("_names", "name")

    def __init__(self, names: Directory, name: Hashable) -> None:
        self._names = names
        self.name = name

    def __repr__(self) -> str:
        return f"<via {self.name!r}>"

    def whereis(self) -> ActorRef[Any] | None:
        """The live actor behind the name, or None."""
        return self._names.whereis(self.name)

    def is_alive(self) -> bool:
        """Whether anybody holds the name."""
        return self.whereis() is not None

    def resolve(self) -> ActorRef[Any]:
        """The ref behind the name. Raises `NameNotFoundError`."""
        ref = self._names.whereis(self.name)
        if ref is None:
            raise NameNotFoundError(f"nobody is registered as {self.name!r}")
        return ref

    def tell(self, message: Any) -> None:
        """`ActorRef.tell` to whoever holds the name; a dead letter if nobody does."""
        ref = self._names.whereis(self.name)
        try:
            if ref is not None:
                ref.tell(message)
                return
        except pykka.ActorDeadError:
            pass  # it died between the look-up and the send
        self._names._undelivered(self.name, message)

    async def atell(self, message: Any, *, timeout: float | None = 10.0) -> bool:
        """`ActorRef.atell` to whoever holds the name; False, and a dead letter, if nobody does."""
        ref = self._names.whereis(self.name)
        try:
            if ref is not None:
                return await ref.atell(message, timeout=timeout)
        except pykka.ActorDeadError:
            pass
        self._names._undelivered(self.name, message)
        return False

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """`ActorRef.ask` of whoever holds the name."""
        try:
            return self.resolve().ask(message, block=block, timeout=timeout)
        except NameNotFoundError as error:
            if block:
                raise
            future: Future[Any] = Future()
            future.fail(error)
            return future

    def call(self, message: Any, timeout: float | None = 5.0) -> Any:
        """`ActorRef.call` of whoever holds the name."""
        return self.resolve().call(message, timeout)

    async def acall(self, message: Any, timeout: float | None = 5.0) -> Any:
        """`ActorRef.acall` of whoever holds the name."""
        return await self.resolve().acall(message, timeout)

    def proxy(self) -> pykka.ActorProxy[Any]:
        """`ActorRef.proxy` of whoever holds the name now; it does not move on to a successor."""
        return self.resolve().proxy()

    def stop(self, *, block: bool = True, timeout: float | None = None) -> Any:
        """`ActorRef.stop` of whoever holds the name; False if nobody does."""
        ref = self._names.whereis(self.name)
        if ref is not None:
            return ref.stop(block=block, timeout=timeout)
        nobody: Future[bool] = Future()
        nobody.set(False)
        return False if block else nobody
