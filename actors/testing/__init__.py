"""Helpers for tests of code that is built on actors.

With pytest-trio a system runs on the test's own loop, and time is virtual:

    >>> async def test_prices_are_refreshed_each_minute(autojump_clock):
    ...     async with running(ActorSystem("test")) as system:
    ...         prices = await start_supervised(system, Prices, name="prices")
    ...         await trio.sleep(60)
    ...         assert await prices.ask("age", block=False) == 0

In a plain test it runs on a thread of its own, where time stands still until the test says so:

    >>> def test_prices_are_refreshed_each_minute():
    ...     with virtual(ActorSystem("test")) as clock:
    ...         prices = start_supervised_blocking(clock.system, Prices, name="prices")
    ...         clock.advance(60)
    ...         assert prices.ask("age", timeout=1) == 0

hosting   `running`, `settle`, `settle_blocking`
time      `virtual`, `run_virtual`, `VirtualClock`
children  `start_supervised`, `start_supervised_blocking`, `stop_supervised`
endings   `assert_down`, `assert_down_blocking`, `expect_down`
faults    `fault`: raise in, delay or replace any hook of a class
order     `seeded_schedule`: the same order of tasks in each run
"""

from __future__ import annotations

from .children import start_supervised, start_supervised_blocking, stop_supervised
from .clock import VirtualClock, run_virtual, virtual
from .endings import assert_down, assert_down_blocking, expect_down
from .faults import Fault, InjectedFault, fault
from .hosting import running, settle, settle_blocking
from .schedule import seeded_schedule

__all__ = [
    "Fault",
    "InjectedFault",
    "VirtualClock",
    "assert_down",
    "assert_down_blocking",
    "expect_down",
    "fault",
    "run_virtual",
    "running",
    "seeded_schedule",
    "settle",
    "settle_blocking",
    "start_supervised",
    "start_supervised_blocking",
    "stop_supervised",
    "virtual",
]
