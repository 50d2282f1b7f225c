"""Things that a supervisor waits for: a child has started, a child has ended."""

from __future__ import annotations

import trio

from .exits import ExitReason
from .host import Host

__all__ = ["Acknowledgement", "Gone"]


class _Occasion:
    """Something that the supervisor waits for and that may come from another thread."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._event = trio.Event()
        self.done = False

    def _set(self) -> None:
        self.done = True
        if self._host.on_loop_thread():
            self._event.set()
        else:
            self._host.call_soon(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()


class Acknowledgement(_Occasion):
    """A child has started, or has failed to."""

    error: BaseException | None = None

    def __call__(self, error: BaseException | None) -> None:
        self.error = error
        self._set()


class Gone(_Occasion):
    """A child has ended."""

    reason: ExitReason | None = None

    def __call__(self, reason: ExitReason) -> None:
        self.reason = reason
        self._set()
