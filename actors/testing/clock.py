"""Virtual time for tests without a plugin."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import trio
import trio.testing

from .. import ActorSystem
from .hosting import settle, settle_blocking
from .schedule import seeded_schedule

__all__ = ["VirtualClock", "run_virtual", "virtual"]

T = TypeVar("T")


def run_virtual(async_fn: Callable[..., Awaitable[T]], *args: Any, seed: int | None = None) -> T:
    """Run an async test in virtual time: as soon as all wait, the clock jumps to the next deadline.

    Example:
        >>> def test_a_minute_passes_in_no_time():
        ...     run_virtual(trio.sleep, 60)

    Args:
        seed: None leaves the order of tasks to chance, a number fixes it; see `seeded_schedule`.

    A virtual clock jumps while the loop waits for a thread, too: for blocking actors use `virtual`.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    if seed is None:
        return trio.run(async_fn, *args, clock=clock)
    with seeded_schedule(seed):
        return trio.run(async_fn, *args, clock=clock)


class VirtualClock:
    """The time of a system that runs under `virtual`: it stands still but for `advance`.

    Threads: any but the system's own.
    """

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self._clock = trio.testing.MockClock()
        self._token: trio.lowlevel.TrioToken | None = None
        self._began = 0.0

    @property
    def now(self) -> float:
        """Seconds of virtual time since the system was started."""
        return self._clock.current_time() - self._began

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, and return once everything that was due in them has been done.

        It goes from one deadline to the next, as time would: a beat of an interval is not skipped.
        """
        assert self._token is not None
        trio.from_thread.run(self._advance, seconds, trio_token=self._token)
        settle_blocking(self.system)

    async def _advance(self, seconds: float) -> None:
        end = self._clock.current_time() + seconds
        while True:
            await settle(self.system)
            left = end - self._clock.current_time()
            if left <= 0:
                return
            ahead = trio.lowlevel.current_statistics().seconds_to_next_deadline
            self._clock.jump(max(0.0, min(ahead, left)))
            await trio.testing.wait_all_tasks_blocked()

    async def _host(self, up: threading.Event) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._began = self._clock.current_time()
        async with trio.open_nursery() as nursery:
            await nursery.start(_run, self.system)
            up.set()


async def _run(system: ActorSystem, *, task_status: trio.TaskStatus[ActorSystem]) -> None:
    await system.run(task_status=task_status)


@contextmanager
def virtual(system: ActorSystem) -> Generator[VirtualClock]:
    """Run ``system`` on a thread of its own, in virtual time, and stop it at the end.

    Example:
        >>> with virtual(ActorSystem("test")) as clock:
        ...     ref = clock.system.spawn(Prices)
        ...     clock.advance(60)

    Raises:
        ActorStartError: a child of the tree did not start.
    """
    clock = VirtualClock(system)
    up = threading.Event()
    failures: list[BaseException] = []

    def host() -> None:
        try:
            trio.run(clock._host, up, clock=clock._clock)
        except BaseException as error:  # noqa: BLE001  (raised again where the test sees it)
            failures.append(error)
        finally:
            up.set()

    thread = threading.Thread(target=host, name=f"{system.name}-virtual", daemon=True)
    thread.start()
    up.wait()
    try:
        if not failures:
            yield clock
    finally:
        clock._clock.rate = 1.0  # the deadlines of the stop are to count
        system.stop()
        thread.join(system.stop_timeout)
    for failure in failures:
        raise _bare(failure)


def _bare(error: BaseException) -> BaseException:
    """The one error inside the groups that nurseries put around it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
