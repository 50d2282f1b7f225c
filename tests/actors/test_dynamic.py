"""The dynamic supervisor: children that come and go."""

from __future__ import annotations

import time

import pytest
import trio

from brama.actors import (
    Actor,
    Backoff,
    BlockingActor,
    ChildExistsError,
    ChildLimitError,
    ChildNotFoundError,
    ChildSpec,
    DynamicSupervisor,
    InlineActor,
    Normal,
    count_children,
    restart_child,
    start_child,
    terminate_child,
    which_children,
)
from brama.actors.testing import settle
from brama.telemetry import ConfigError


class Worker(InlineActor):
    def __init__(self, *args):
        super().__init__()
        self.args = args

    def on_receive(self, message):
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Normal):
            self.exit(message)
        return self.args


class Leisurely(Actor):
    async def on_stop(self):
        await trio.sleep(3)


@pytest.mark.requirement("actors:strategies")
async def test_children_are_started_found_and_ended_by_id(system, autojump_clock):
    pool = system.spawn(DynamicSupervisor)
    for key in ("a", ("scope", "b"), 3):
        ref = await start_child(pool, ChildSpec(key, Worker, (key,)))
        assert await ref.ask("who?", block=False) == (key,)
    with pytest.raises(ChildExistsError):
        await start_child(pool, ChildSpec("a", Worker))
    await terminate_child(pool, ("scope", "b"))
    assert [info.id for info in await which_children(pool)] == ["a", 3]
    with pytest.raises(ChildNotFoundError):
        await restart_child(pool, ("scope", "b"))


async def test_a_child_that_ended_for_good_is_forgotten(system, autojump_clock):
    pool = system.spawn(DynamicSupervisor)
    one = await start_child(pool, ChildSpec("t", Worker, restart="transient"))
    two = await start_child(pool, ChildSpec("e", Worker, restart="temporary"))
    one.tell(Normal())
    two.tell(ValueError())
    await settle(system)
    assert (await count_children(pool)).specs == 0


async def test_the_arguments_survive_a_restart(system, autojump_clock):
    pool = system.spawn(DynamicSupervisor)
    first = await start_child(pool, ChildSpec("a", Worker, (1, 2)))
    first.tell(ValueError())
    await settle(system)
    second = (await which_children(pool))[0].ref
    assert second is not first
    assert await second.ask("args", block=False) == (1, 2)


async def test_a_child_beyond_the_limit_is_refused_also_while_one_restarts(system, autojump_clock):
    pool = system.spawn(DynamicSupervisor, max_children=1, backoff=Backoff(min=5.0))
    ref = await start_child(pool, ChildSpec("a", Worker))
    with pytest.raises(ChildLimitError, match="max_children=1"):
        await start_child(pool, ChildSpec("b", Worker))
    ref.tell(ValueError())
    await settle(system)
    with pytest.raises(ChildLimitError):
        await start_child(pool, ChildSpec("b", Worker))


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_children_end_at_the_same_time(system, autojump_clock):
    pool = system.spawn(DynamicSupervisor)
    for key in range(50):
        await start_child(pool, ChildSpec(key, Leisurely))
    began = trio.current_time()
    await pool.stop(block=False)
    assert trio.current_time() - began == pytest.approx(3.0, abs=0.1)


@pytest.mark.requirement("actors:ordered-shutdown")
async def test_each_child_has_its_own_deadline(system, autojump_clock):
    pool = system.spawn(DynamicSupervisor)
    ends = {}
    for key, shutdown in (("patient", 10.0), ("hasty", 1.0), ("brutal", 0.0)):
        ref = await start_child(pool, ChildSpec(key, Leisurely, shutdown=shutdown))
        _note_end(ref, ends, key)
    began = trio.current_time()
    await pool.stop(block=False)
    assert {key: round(at - began) for key, at in ends.items()} == {
        "brutal": 0,
        "hasty": 1,
        "patient": 3,
    }


def _note_end(ref, ends, key):
    from brama.actors import watch

    watch(ref, lambda reason: ends.setdefault(key, trio.current_time()))


async def test_a_blocked_thread_is_detached_and_reported(system, caplog):
    import threading

    release = threading.Event()

    class Stuck(BlockingActor):
        def on_receive(self, message):
            release.wait(10)

    pool = system.spawn(DynamicSupervisor)
    ref = await start_child(pool, ChildSpec("stuck", Stuck, shutdown=0.05))
    ref.tell("now")
    await trio.sleep(0.05)
    began = time.monotonic()
    await terminate_child(pool, "stuck")
    assert time.monotonic() - began < 1
    assert not ref.is_alive()
    assert any("Stuck-" in reason for reason in system.health().reasons)
    release.set()


@pytest.mark.requirement("actors:cost")
def test_ten_thousand_children_start_within_a_second_or_two(threaded):
    pool = threaded.spawn(DynamicSupervisor)
    began = time.monotonic()
    futures = [start_child(pool, ChildSpec(key, Worker)) for key in range(10_000)]
    for future in futures:
        future.get(timeout=10)
    assert time.monotonic() - began < 2.5  # 0.2 s on an idle machine
    assert count_children(pool).get(timeout=5).active == 10_000
    pool.stop(timeout=10)


def test_a_wrong_limit_is_refused():
    with pytest.raises(
        ConfigError, match="max_children must be a positive number, or None, got: 0"
    ):
        DynamicSupervisor(max_children=0)
