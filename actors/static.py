"""pykka's actor as the type checkers should see it.

pykka declares its hooks as plain functions. A class with ``async def`` hooks below it would be an
error in each subclass that a user writes. So, for the checkers only, the hooks are declared apart;
at run time every actor of ours is a `pykka.Actor`.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

import pykka

__all__ = ["PlainHooks", "PykkaActor", "PykkaThreadingActor"]

if TYPE_CHECKING:

    class PykkaActor:
        """`pykka.Actor` without its hooks."""

        def stop(self) -> None:
            """Stop once the queued messages are handled."""

        def _handle_receive(self, message: Any) -> Any: ...

    class PykkaThreadingActor:
        """`pykka.ThreadingActor` has nothing of its own that matters here."""

    class PlainHooks:
        """The hooks of pykka."""

        def on_start(self) -> None:
            """Run before the first message. If it raises, the actor has not started."""

        def on_receive(self, message: Any) -> Any:
            """Handle one message; what it returns is the reply if somebody asked."""

        def on_stop(self) -> None:
            """Run after the last message, when the actor stops in good order."""

        def on_failure(
            self,
            exception_type: type[BaseException] | None,
            exception_value: BaseException | None,
            traceback: TracebackType | None,
        ) -> None:
            """Run instead of `on_stop` after an exception that nobody waited for."""

else:
    PykkaActor = pykka.Actor
    PykkaThreadingActor = pykka.ThreadingActor

    class PlainHooks:
        """The hooks are `pykka.Actor`'s own."""

        __slots__ = ()
