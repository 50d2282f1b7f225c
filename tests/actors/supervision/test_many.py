"""Many children: what they cost, and that the cost does not grow."""

from __future__ import annotations

import gc
import random
import threading
import time
import tracemalloc

import pytest
import trio
import trio.testing

from brama.actors import (
    Actor,
    ActorSystem,
    ChildSpec,
    DynamicSupervisor,
    InlineActor,
    Supervisor,
    count_children,
    get_childspec,
    kill,
    restart_child,
    start_child,
    terminate_child,
)
from brama.actors.child import Children
from brama.actors.testing import running, settle

from .workers import BlockingWorker, InlineWorker, until


class Counting(dict):
    """A dict that counts how many of its entries were looked at one after the other."""

    walked = 0

    def values(self):
        Counting.walked += len(self)
        return super().values()

    items = keys = __iter__ = None


@pytest.fixture
def counting(monkeypatch):
    Counting.walked = 0
    original = Children.__init__

    def make(self):
        original(self)
        self._table = Counting()

    monkeypatch.setattr(Children, "__init__", make)


@pytest.mark.requirement("actors:cost")
async def test_no_request_about_one_child_looks_at_the_others(system, counting, autojump_clock):
    pool = system.spawn(DynamicSupervisor, intensity=1000, max_children=10_000)
    for number in range(1000):
        await start_child(pool, ChildSpec(number, InlineWorker))
    for number in range(0, 1000, 50):
        ref = await start_child(pool, ChildSpec(f"extra {number}", InlineWorker))
        await get_childspec(pool, number)
        await terminate_child(pool, number)
        ref.tell(ValueError())  # a crash, and a restart
        await settle(system)
    assert Counting.walked == 0
    assert (await count_children(pool)).active == 1000
    assert Counting.walked > 0  # that one has to


@pytest.mark.requirement("actors:cost")
async def test_a_static_supervisor_finds_and_restarts_one_child_without_the_others_too(
    system, counting, autojump_clock
):
    sup = system.spawn(Supervisor, intensity=1000)
    for number in range(300):
        await start_child(sup, ChildSpec(number, InlineWorker))
    for number in range(0, 300, 10):
        await terminate_child(sup, number)
        (await restart_child(sup, number)).tell(ValueError())
        await settle(system)
    assert Counting.walked == 0


@pytest.mark.requirement("actors:cost")
async def test_ending_many_children_takes_one_timer_per_distinct_deadline(
    system, autojump_clock, monkeypatch
):
    import brama.actors.ending as ending

    waits = []
    move_on_at = trio.move_on_at
    monkeypatch.setattr(ending.trio, "move_on_at", lambda at: waits.append(at) or move_on_at(at))

    class Slow(Actor):
        async def on_stop(self):
            await trio.sleep(1000)

    pool = system.spawn(DynamicSupervisor)
    for number in range(1000):
        deadline = (1.0, 2.0, 3.0)[number % 3]
        await start_child(pool, ChildSpec(number, Slow, shutdown=deadline))
    began = trio.current_time()
    await pool.stop(block=False)
    assert trio.current_time() - began == pytest.approx(3.0, abs=0.1)
    # One for each, one for the unwinding of those that were killed, two by the stop around it.
    assert len(waits) <= 3 + 1 + 2


@pytest.mark.requirement("actors:cost")
async def test_a_child_that_comes_and_goes_leaves_nothing_behind(autojump_clock):
    # Without the stall watch: it would remember the stacks of the collector's runs.
    system = ActorSystem("lean", stall_threshold=None)
    async with running(system):
        pool = system.spawn(DynamicSupervisor, intensity=10**6)
        await _come_and_go(system, pool, 300)  # what is kept of the last ones is full now
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await _come_and_go(system, pool, 300)
            gc.collect()
            assert tracemalloc.get_traced_memory()[0] - before < 50_000
        finally:
            tracemalloc.stop()
        assert (await count_children(pool)).specs == 0


async def _come_and_go(system, pool, times):
    for number in range(times):
        restart = ("permanent", "temporary")[number % 2]
        kill(await start_child(pool, ChildSpec(number, InlineWorker, restart=restart)))
        await settle(system)
        if restart == "permanent":
            await terminate_child(pool, number)


class Idle(InlineActor):
    def on_receive(self, message):
        return message


@pytest.mark.soak
@pytest.mark.requirement("actors:cost")
def test_a_hundred_thousand_children_cost_each_as_much_as_a_few(capsys):
    with ActorSystem("many") as system:
        pool = system.spawn(DynamicSupervisor)
        gc.collect()
        gc.freeze()
        costs = []
        for thousand in range(100):
            began = time.perf_counter()
            for number in range(1000):
                spec = ChildSpec((thousand, number), Idle, restart="temporary")
                future = start_child(pool, spec)
            future.get(timeout=30)
            costs.append(time.perf_counter() - began)
        assert count_children(pool).get(timeout=30).active == 100_000
        first, last = sorted(costs[:20])[10], sorted(costs[-20:])[10]
        ends = []
        for thousand in (0, 50, 99):
            began = time.perf_counter()
            for number in range(1000):
                future = terminate_child(pool, (thousand, number))
            future.get(timeout=30)
            ends.append(time.perf_counter() - began)
        began = time.perf_counter()
        pool.stop(timeout=60)
        everybody = time.perf_counter() - began
    with capsys.disabled():
        print(
            f"\n  start: {first * 1000:.0f} µs each at the beginning, {last * 1000:.0f} µs at "
            f"100 000; terminate: {max(ends) * 1000:.0f} µs; ending 97 000: {everybody:.1f} s"
        )
    assert last < 2.5 * first


# -- the soak -------------------------------------------------------------------------------------


class Tree:
    """A tree of supervisors and actors of the three kinds, and somebody who kills them."""

    def __init__(self, pools: int, per_pool: int, blocking: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pools, self.per_pool, self.blocking = pools, per_pool, blocking
        kinds = [Idle, IdleAsync]
        self.system = ActorSystem(
            "soak",
            children=[
                *(
                    ChildSpec(
                        f"pool {number}",
                        DynamicSupervisor,
                        (),
                        {"intensity": 10**9, "period": 1.0},
                        name=f"pool {number}",
                    )
                    for number in range(pools)
                ),
                ChildSpec(
                    "threads",
                    Supervisor,
                    ([ChildSpec(number, BlockingWorker) for number in range(blocking)],),
                    {"intensity": 10**9, "strategy": "one_for_one"},
                    name="threads",
                ),
            ],
            intensity=10**9,
        )
        self.system.start()
        for pool in range(pools):
            futures = [
                start_child(
                    self.system.names.via(f"pool {pool}"),
                    ChildSpec(number, kinds[number % 2], restart="permanent"),
                )
                for number in range(per_pool)
            ]
            for future in futures:
                future.get(timeout=60)

    def strike(self) -> None:
        """Kill somebody, by crash, kill or exit; or ask somebody something."""
        chance = self.chance
        name = "threads" if chance.random() < 0.02 else f"pool {chance.randrange(self.pools)}"
        supervisor = self.system.names.whereis(name)
        actor = supervisor and supervisor._actor_weakref()
        if actor is None:
            return
        children = actor._children
        if not len(children):
            return
        child = children.get(chance.randrange(len(children)))
        cell = child and child.cell
        if cell is None or cell.ref is None:
            return
        kill(cell.ref)

    def as_specified(self) -> bool:
        tree = self.system.tree()
        nodes = {node.id: node for node in tree.children}
        return (
            tree.status == "running"
            and all(
                len(nodes[f"pool {number}"].children) == self.per_pool
                for number in range(self.pools)
            )
            and len(nodes["threads"].children) == self.blocking
            and all(node.status == "running" for node in tree.walk())
        )


class IdleAsync(Actor):
    async def on_receive(self, message):
        return message


def _soak(pools, per_pool, blocking, seconds, strikes):
    threads = threading.active_count()
    tree = Tree(pools, per_pool, blocking, seed=1)
    try:
        until(tree.as_specified, 60)
        sizes = []
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end and (strikes is None or number < strikes):
            tree.strike()
            number += 1
            if not number % 50:
                time.sleep(0.001)  # the loop is the one that is to work
            if not number % 20_000:
                until(tree.as_specified, 60)
                gc.collect()
                sizes.append(_resident())
        until(tree.as_specified, 60)
        assert number > 500
        assert tree.system.health().status == "ok"
    finally:
        report = tree.system.stop(timeout=60)
    assert report.complete
    assert report.killed == ()
    assert not tree.system.cells
    until(lambda: threading.active_count() <= threads, 10)
    return number, sizes


def _resident() -> float:
    """MiB of this process."""
    with open("/proc/self/statm") as statm:  # noqa: PTH123 - not a file in the usual sense
        return int(statm.read().split()[1]) * 4096 / 2**20


@pytest.mark.requirement("actors:restart-types")
def test_a_tree_under_random_kills_comes_back_as_specified_and_leaves_no_thread():
    _soak(pools=4, per_pool=100, blocking=4, seconds=30, strikes=3000)


@pytest.mark.soak
@pytest.mark.requirement("actors:restart-types")
def test_ten_thousand_actors_under_random_kills_for_five_minutes(capsys):
    number, sizes = _soak(pools=20, per_pool=499, blocking=20, seconds=300, strikes=None)
    with capsys.disabled():
        print(f"\n  {number} kills; resident MiB: {[round(size) for size in sizes]}")
    settled = sizes[len(sizes) // 4 :]
    assert max(settled) - min(settled) < 0.1 * max(settled)
