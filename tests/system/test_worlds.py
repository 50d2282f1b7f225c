"""One circuit called from plain threads, asyncio and trio at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
import trio

import brama

THREADS, TASKS, CALLS = 4, 20, 200


@pytest.mark.requirement("BR-23")
def test_threads_asyncio_and_trio_share_a_circuit_and_every_call_is_counted() -> None:
    with brama.System() as system:
        circuit = system.circuit("search", failure_threshold=10**9)

        @circuit
        def plain(number: int) -> None:
            if number % 2:
                raise OSError

        @circuit
        async def within_asyncio(number: int) -> None:
            await asyncio.sleep(0)
            if number % 2:
                raise OSError

        @circuit
        async def within_trio(number: int) -> None:
            await trio.lowlevel.checkpoint()
            if number % 2:
                raise OSError

        def sync_load() -> None:
            for number in range(CALLS):
                try:
                    plain(number)
                except OSError:
                    pass

        async def async_load(call: Callable[[int], object]) -> None:
            for number in range(CALLS):
                try:
                    await call(number)  # type: ignore[misc]
                except OSError:
                    pass

        def asyncio_loop() -> None:
            async def main() -> None:
                await asyncio.gather(*(async_load(within_asyncio) for _ in range(TASKS)))

            asyncio.run(main())

        def trio_loop() -> None:
            async def main() -> None:
                async with trio.open_nursery() as nursery:
                    for _ in range(TASKS):
                        nursery.start_soon(async_load, within_trio)

            trio.run(main)

        threads = [threading.Thread(target=sync_load) for _ in range(THREADS)]
        threads += [threading.Thread(target=asyncio_loop), threading.Thread(target=trio_loop)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = circuit.status()
        total = (THREADS + 2 * TASKS) * CALLS
        assert (status.successes, status.failures) == (total // 2, total // 2)
        assert status.in_flight == 0
