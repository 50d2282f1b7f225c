"""Fixtures: a system on the test's own loop, and one on a thread of its own.

Time is virtual in a test that asks for ``autojump_clock`` as well. Blocking actors need real time:
a virtual clock jumps ahead while the loop waits for a thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from brama.actors import ActorSystem
from brama.actors.testing import running


@pytest.fixture
async def system() -> AsyncIterator[ActorSystem]:
    async with running(ActorSystem("test")) as one:
        yield one


@pytest.fixture
def threaded() -> Iterator[ActorSystem]:
    with ActorSystem("threaded") as one:
        yield one
