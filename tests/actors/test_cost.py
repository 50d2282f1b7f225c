"""What actors may cost, as orders of magnitude; `bench` has the figures and their ratios.

By processor time, so that a busy machine does not matter, and of several rounds the best.
"""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest

from brama.actors import Actor, ActorSystem, InlineActor
from brama.actors.testing import settle


class Quiet(InlineActor):
    def on_receive(self, message):
        return message


class Asking(Actor):
    def __init__(self, target):
        super().__init__()
        self.target = target

    async def on_receive(self, times):
        began = time.thread_time()
        for _ in range(times):
            await self.target.ask("?", block=False)
        return (time.thread_time() - began) / times


async def per_message(system, tell, times):
    began = time.thread_time()
    for _ in range(times):
        tell("message")
    await settle(system)
    return (time.thread_time() - began) / times


@pytest.mark.requirement("actors:cost")
async def test_a_tell_and_its_handling_take_less_than_three_microseconds(system):
    ref = system.spawn(Quiet)
    assert min([await per_message(system, ref.tell, 5_000) for _ in range(5)]) < 3e-6


@pytest.mark.requirement("actors:cost")
async def test_a_batch_drains_at_more_than_two_hundred_thousand_messages_a_second(system):
    ref = system.spawn(Quiet)

    async def drain():
        for _ in range(10_000):
            ref.tell("message")
        began = time.thread_time()
        await settle(system)
        return (time.thread_time() - began) / 10_000

    assert min([await drain() for _ in range(5)]) < 5e-6


@pytest.mark.requirement("actors:cost")
async def test_a_request_from_loop_to_loop_takes_less_than_twenty_microseconds(system):
    asking = system.spawn(Asking, system.spawn(Quiet))
    assert min([await asking.acall(500) for _ in range(5)]) < 20e-6


@pytest.mark.requirement("actors:cost")
def test_ten_thousand_idle_actors_take_less_than_sixty_mebibytes():
    with ActorSystem("many") as system:
        system.spawn(Quiet).call(1)
        gc.collect()
        tracemalloc.start()
        refs = [system.spawn(Quiet) for _ in range(10_000)]
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(refs) == 10_000
        assert used < 60 * 2**20 / 2  # traced memory is not all of it
