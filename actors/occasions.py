"""What a supervisor waits for when it starts a child."""

from __future__ import annotations

import trio

from .host import Host

__all__ = ["Acknowledgement"]


class Acknowledgement:
    """A child has started, or has failed to; it may come from another thread."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._event = trio.Event()
        self.done = False
        self.error: BaseException | None = None

    def __call__(self, error: BaseException | None) -> None:
        self.error = error
        self.done = True
        if self._host.on_loop_thread():
            self._event.set()
        else:
            self._host.call_soon(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
