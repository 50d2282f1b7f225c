"""What can be seen from outside: the tree, and any actor, as immutable snapshots."""

from __future__ import annotations

import threading

import attrs
import pytest
import trio

from brama.actors import (
    ActorSystem,
    Backoff,
    BlockingActor,
    Budget,
    ChildSpec,
    Crash,
    DynamicSupervisor,
    InlineActor,
    NameNotFoundError,
    Supervisor,
    kill,
    start_child,
)

from .workers import AsyncWorker, BlockingWorker, InlineWorker, Script, calm, refs, specs, until, up

pytestmark = [pytest.mark.usefixtures("clock"), pytest.mark.requirement("actors:introspection")]


async def test_the_snapshot_of_an_actor_tells_everything_about_it(system, worker, clock):
    spec = ChildSpec("w", worker, ("w",), name="worker")
    sup = await up(system, [spec])
    (await refs(sup))["w"].tell(ValueError("once"))
    await calm(system)
    for _ in range(5):
        system.names.via("worker").tell("work")
    await calm(system)
    info = system.inspect("worker")
    assert info == attrs.evolve(
        info,
        ref=system.names.whereis("worker"),
        actor_class=worker.__qualname__,
        kind=worker._cell_class.kind,
        status="running",
        system="test",
        names=("worker",),
        supervisor=sup,
        id="w",
        restarts=1,
        last_exit="Crash(ValueError('once'))",
        hook=None,
        message_type=None,
        links=(),
        monitors=(),
        monitored_by=(),
        timers=(),
        children=0,
        stack=(),
        state=None,
    )
    assert (info.mailbox.length, info.mailbox.handled) == (0, 5)
    assert info.mailbox.busy >= 0
    assert 0 <= info.uptime < 60
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        info.restarts = 2


async def test_links_monitors_both_ways_and_timers_are_shown(system, clock):
    class Busybody(InlineActor):
        def on_receive(self, message):
            verb, ref = message
            if verb == "watch":
                self.monitor(ref)
            elif verb == "link":
                self.link(ref)
            else:
                self.after(30, "tick", key="t")
                self.every(60, ("tock",))

    one, two, three = (system.spawn(Busybody) for _ in range(3))
    one.tell(("watch", two))
    one.tell(("link", three))
    one.tell(("timers", None))
    await calm(system)
    clock.jump(10)
    info = system.inspect(one)
    assert (info.monitors, info.links) == ((two,), (three,))
    assert system.inspect(two).monitored_by == (one,)
    assert system.inspect(three).links == (one,)
    shown = sorted((timer.message_type, timer.key, timer.interval) for timer in info.timers)
    assert shown == [("str", "t", None), ("tuple", None, 60)]
    assert sorted(timer.due_in for timer in info.timers) == pytest.approx([20, 50], abs=1)
    text = str(info)
    for part in ("inline, running", "monitors", "links", "timer str in", "every 60 s"):
        assert part in text


class Stuck(BlockingActor):
    def __init__(self):
        super().__init__()
        self.release = threading.Event()

    def on_receive(self, message):
        self._wait_for_it()

    def _wait_for_it(self):
        self.release.wait(20)


class Waiting(AsyncWorker):
    async def on_receive(self, message):
        await self._wait_for_it()

    async def _wait_for_it(self):
        await trio.sleep_forever()


async def test_an_async_actor_shows_its_message_and_where_it_waits(system):
    ref = system.spawn(Waiting)
    ref.tell({"secret": 1})
    ref.tell("next")
    await calm(system)
    info = system.inspect(ref, stack=True)
    assert (info.hook, info.message_type, info.mailbox.length) == ("on_receive", "dict", 1)
    assert info.mailbox.oldest_age is not None
    assert any("in _wait_for_it" in line for line in info.stack)
    assert "secret" not in str(info).replace("secret_", "")
    assert system.inspect(ref).stack == ()
    kill(ref)


async def test_a_request_shows_the_type_of_what_was_asked(system):
    ref = system.spawn(Waiting)
    answer = ref.ask(3.5, block=False)
    await calm(system)
    assert system.inspect(ref).message_type == "float"
    kill(ref)
    with pytest.raises(Exception, match="ended"):
        await answer


async def test_a_thread_shows_its_message_and_its_stack(system):
    ref = system.spawn(Stuck)
    ref.tell(b"x")
    with trio.fail_after(20):  # its thread may be in the hook and not yet where it waits
        while not any("in _wait_for_it" in line for line in system.inspect(ref, stack=True).stack):
            await trio.sleep(0.001)
    info = system.inspect(ref)
    assert (info.hook, info.message_type) == ("on_receive", "bytes")
    ref._actor_weakref().release.set()
    with trio.fail_after(20):
        while system.inspect(ref).hook is not None:
            await trio.sleep(0.001)


def test_an_inline_actor_that_holds_the_loop_is_seen_from_another_thread():
    release = threading.Event()

    class Rude(InlineActor):
        def on_receive(self, message):
            self._hold_the_loop()

        def _hold_the_loop(self):
            release.wait(20)

    with ActorSystem("held", stall_threshold=None) as system:
        ref = system.spawn(Rude)
        ref.tell("go")
        until(lambda: system.inspect(ref).hook)
        info = system.inspect(ref, stack=True)
        assert any("in _hold_the_loop" in line for line in info.stack)
        # The tree as well: nothing needs the loop.
        assert system.tree().find("(spawned)").children[0].actor_class.endswith("Rude")
        release.set()


async def test_the_state_is_shown_on_request_and_by_way_of_format_status(system):
    class Client(InlineActor):
        def __init__(self):
            super().__init__()
            self.url = "https://example.org"
            self.password = "hunter2"
            self.long = "x" * 10_000

        @classmethod
        def format_status(cls, status):
            return status.but(state={**status.state, "password": "…"})

    ref = system.spawn(Client)
    assert system.inspect(ref).state is None
    info = system.inspect(ref, state=True)
    assert info.state["url"] == "'https://example.org'"
    assert info.state["password"] == "'…'"
    assert len(info.state["long"]) <= 200
    assert "hunter2" not in str(info)


async def test_a_broken_format_status_or_repr_shows_less_and_harms_nobody(system):
    class Ugly:
        def __repr__(self):
            raise KeyError("hunter2")

    class Client(InlineActor):
        def __init__(self):
            super().__init__()
            self.ugly = Ugly()

    class Broken(Client):
        @classmethod
        def format_status(cls, status):
            return "nothing"

    shown = system.inspect(system.spawn(Client), state=True).state
    assert "Ugly" in shown["ugly"]
    shown = system.inspect(system.spawn(Broken), state=True).state
    assert shown == {"?": "hidden: format_status returned no Status"}


async def test_an_actor_that_has_ended_is_shown_as_dead(system, worker):
    ref = system.spawn(worker)
    ref.tell("work")
    await calm(system)
    kill(ref)
    await calm(system)
    info = system.inspect(ref, stack=True, state=True)
    assert (info.status, info.uptime, info.state) == ("dead", None, None)
    assert info.mailbox.handled == 1


async def test_nobody_under_a_name_is_an_error(system):
    with pytest.raises(NameNotFoundError):
        system.inspect("nobody")
    with pytest.raises(NameNotFoundError):
        system.inspect(system.names.via("nobody"))


async def test_all_actors_are_listed_with_the_longest_mailbox_first(system):
    idle, busy = system.spawn(InlineWorker), system.spawn(Waiting)
    for _ in range(4):
        busy.tell("x")
    await calm(system)
    listed = system.actors()
    assert listed[0].ref == busy
    assert {info.ref for info in listed} == {system.root, idle, busy}
    kill(busy)


async def test_the_tree_shows_strategies_and_what_is_used_of_their_budgets(system):
    inner = specs(InlineWorker, Script(), "ab")
    sup = await up(system, inner, strategy="rest_for_one", intensity=4, period=1000)
    for _ in range(2):
        (await refs(sup))["b"].tell(ValueError("bug"))
        await calm(system)
    node = system.tree().find("(spawned)", str(sup))
    assert node.strategy == "rest_for_one"
    assert node.budget == Budget(2, 4, 1000.0)
    assert node.children[1].restarts == 2
    assert node.children[1].uptime is not None
    (line,) = [line for line in str(system.tree()).splitlines() if "rest_for_one" in line]
    assert line.endswith(
        "(Supervisor, async, running, rest_for_one)  restarts ▰▰▰▱▱ 2 of 4 in 1000 s"
    )


async def test_the_tree_shows_children_that_are_down_and_why(system):
    sup = await up(system, specs(InlineWorker, Script(), "ab"), quarantine=True, intensity=0)
    (await refs(sup))["a"].tell(ValueError("bug"))
    await calm(system)
    node = system.tree().find("(spawned)", str(sup))
    assert [child.status for child in node.children] == ["quarantined", "running"]
    assert node.budget.used == 1
    assert "a  (InlineWorker, inline, quarantined, Crash(ValueError('bug')))" in str(system.tree())


async def test_a_child_that_waits_for_its_restart_is_in_the_tree(system):
    sup = await up(system, specs(InlineWorker, Script(), "a"), backoff=Backoff(min=1000, max=1000))
    (await refs(sup))["a"].tell(Crash(ValueError("bug")))
    await calm(system)
    (node,) = system.tree().find("(spawned)", str(sup)).children
    assert (node.status, node.uptime) == ("restarting", None)


async def test_a_large_tree_is_built_in_slices_on_the_loop(system):
    pool = system.spawn(DynamicSupervisor)
    for number in range(1000):
        await start_child(pool, ChildSpec(number, InlineWorker))
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await trio.lowlevel.checkpoint()
        before = turns
        tree = await system.atree()
        assert turns - before >= 9  # somebody else had its turn every hundred actors
        nursery.cancel_scope.cancel()
    assert len(list(tree.walk())) == len(list(system.tree().walk())) == 1000 + 3


async def test_snapshots_of_changing_actors_never_fail():
    # From a thread, while the loop does its worst.
    with ActorSystem("busy") as system:
        pool = system.spawn(DynamicSupervisor, intensity=10**9)
        kinds = [InlineWorker, AsyncWorker, BlockingWorker]
        for number in range(30):
            start_child(pool, ChildSpec(number, kinds[number % 3])).get(timeout=5)
        for turn in range(60):
            for info in system.actors():
                if info.supervisor is not None and turn % 3 == 0:
                    kill(info.ref)
                else:
                    info.ref.actor_inbox.send("work")
                system.inspect(info.ref, stack=True, state=True)
            str(system.tree())


async def test_a_supervisor_is_an_actor_like_others(system):
    sup = await up(system, specs(InlineWorker, Script(), "abc"))
    info = system.inspect(sup)
    assert (info.children, info.kind, info.actor_class) == (3, "async", Supervisor.__qualname__)
