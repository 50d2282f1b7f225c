"""Links: two actors end together, unless one of them traps exits."""

from __future__ import annotations

import itertools
import threading

import pytest

from brama.actors import (
    Actor,
    ActorSystem,
    BlockingActor,
    ChildSpec,
    Crash,
    ExitSignal,
    InlineActor,
    Killed,
    NoProc,
    Normal,
    Shutdown,
    kill,
    send_exit,
    watch,
)
from brama.actors.testing import settle
from brama.telemetry import ConfigError


class Ended:
    """The end of an actor, seen by plain code on any thread."""

    def __init__(self, ref):
        self.reason = None
        self.event = threading.Event()
        watch(ref, self)

    def __call__(self, reason):
        self.reason = reason
        self.event.set()


def does(self, message):
    """Does what it is told: a callable gets the actor, an error is raised, signals are kept."""
    if isinstance(message, BaseException):
        raise message
    if callable(message):
        return message(self)
    self.got.append(message)
    return None


class Inline(InlineActor):
    def __init__(self, trap=False):
        super().__init__()
        self.got = []
        self.trap_exit = trap

    on_receive = does


class Async(Actor):
    def __init__(self, trap=False):
        super().__init__()
        self.got = []
        self.trap_exit = trap

    async def on_receive(self, message):
        return does(self, message)


class Blocking(BlockingActor):
    def __init__(self, trap=False):
        super().__init__()
        self.got = []
        self.trap_exit = trap

    on_receive = does


KINDS = [Inline, Async, Blocking]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_pair = pytest.mark.parametrize(
    ("kind", "other"), [(one, two) for one in KINDS for two in KINDS]
)


def linked(system, kind=Inline, other=Inline, trap=False):
    """Two linked actors, the first of which may trap."""
    one, two = system.spawn(kind, trap), system.spawn(other)
    one.ask(lambda self: self.link(two), timeout=5)
    return one, two


@pytest.mark.requirement("actors:links-monitors")
@every_pair
def test_a_crash_takes_the_linked_actor_along_for_the_same_reason(threaded, kind, other):
    one, two = linked(threaded, kind, other)
    end, error = Ended(one), ValueError("mine")
    two.tell(error)
    assert end.event.wait(5)
    assert isinstance(end.reason, Crash)
    assert end.reason.error is error


@every_pair
def test_a_link_works_in_both_directions(threaded, kind, other):
    one, two = linked(threaded, kind, other)
    end = Ended(two)
    one.tell(ValueError("mine"))
    assert end.event.wait(5)
    assert isinstance(end.reason, Crash)


@every_kind
def test_a_normal_end_of_the_linked_actor_is_ignored(threaded, kind):
    one, two = linked(threaded, kind)
    assert two.stop(timeout=5)
    third = threaded.spawn(Inline)
    one.ask(lambda self: self.link(third), timeout=5)
    third.ask(lambda self: self.exit(Normal()), timeout=5)
    assert third.actor_stopped.wait(5)
    assert one.ask(lambda self: self.got, timeout=5) == []


async def test_a_shutdown_of_the_linked_actor_is_not_ignored(system):
    one, two = system.spawn(Inline), system.spawn(Inline)
    one.tell(lambda self: self.link(two))
    await settle(system)
    end = Ended(one)
    two.tell(lambda self: self.exit(Shutdown("deploy")))
    await settle(system)
    assert end.reason == Shutdown("deploy")


@pytest.mark.requirement("actors:links-monitors")
@every_pair
def test_an_actor_that_traps_exits_gets_a_message_and_lives_on(threaded, kind, other):
    one, two = linked(threaded, kind, other, trap=True)
    end, error = Ended(two), ValueError("mine")
    two.tell(error)
    assert end.event.wait(5)
    threaded.spawn(Inline).ask(lambda self: None, timeout=5)  # the loop has had its turn since
    (signal,) = one.ask(lambda self: self.got, timeout=5)
    assert isinstance(signal, ExitSignal)
    assert signal.ref is two
    assert signal.reason.error is error


async def test_a_normal_end_is_a_message_too_for_who_traps(system):
    one, two = system.spawn(Inline, True), system.spawn(Inline)
    one.tell(lambda self: self.link(two))
    two.tell(lambda self: self.exit())
    await settle(system)
    assert await one.ask(lambda self: self.got, block=False) == [ExitSignal(two, Normal())]


async def test_there_is_at_most_one_link_between_two_actors(system):
    one, two = system.spawn(Inline, True), system.spawn(Inline)
    for _ in range(3):
        one.tell(lambda self: self.link(two))
        two.tell(lambda self: self.link(one))
    await settle(system)
    kill(two)
    await settle(system)
    assert await one.ask(lambda self: self.got, block=False) == [ExitSignal(two, Killed())]


@every_kind
def test_after_an_unlink_the_other_end_has_no_effect(threaded, kind):
    one, two = linked(threaded, kind)
    assert one.ask(lambda self: self.unlink(two), timeout=5) is True
    assert one.ask(lambda self: self.unlink(two), timeout=5) is False
    two.tell(ValueError())
    assert two.actor_stopped.wait(5)
    assert one.ask(lambda self: "alive", timeout=5) == "alive"


async def test_a_signal_that_is_under_way_is_void_after_an_unlink(system):
    one, two = system.spawn(Inline), system.spawn(Inline)
    one.tell(lambda self: self.link(two))
    await settle(system)

    def end_then_unlink(self):
        kill(two)  # the signal to us is on its way now
        self.unlink(two)

    one.tell(end_then_unlink)
    await settle(system)
    assert one.is_alive()


@pytest.mark.requirement("actors:links-monitors")
@every_kind
def test_linking_a_dead_actor_is_the_exit_signal_noproc(threaded, kind):
    dead = threaded.spawn(Inline)
    dead.stop(timeout=5)
    one, trapping = threaded.spawn(kind), threaded.spawn(kind, True)
    end = Ended(one)
    one.tell(lambda self: self.link(dead))
    assert end.event.wait(5)
    assert end.reason == NoProc()
    trapping.ask(lambda self: self.link(dead), timeout=5)
    threaded.spawn(Inline).ask(lambda self: None, timeout=5)
    assert trapping.ask(lambda self: self.got, timeout=5) == [ExitSignal(dead, NoProc())]


async def test_linking_a_name_that_nobody_holds_is_the_exit_signal_noproc(system):
    one = system.spawn(Inline, True)
    nobody = system.names.via("nobody")
    one.tell(lambda self: self.link(nobody))
    await settle(system)
    assert await one.ask(lambda self: self.got, block=False) == [ExitSignal(nobody, NoProc())]


async def test_a_link_with_oneself_has_no_effect(system):
    one = system.spawn(Inline, True)
    one.tell(lambda self: self.link(self.actor_ref))
    one.tell(lambda self: self.exit())
    await settle(system)
    assert not one.is_alive()


@every_kind
def test_a_kill_cannot_be_trapped_and_is_seen_by_others_as_killed(threaded, kind):
    one, two = linked(threaded, kind, kind, trap=True)
    other = threaded.spawn(Inline)
    two.ask(lambda self: self.link(other), timeout=5)
    victim, bystander = Ended(one), Ended(other)
    kill(one)
    assert victim.event.wait(5)
    assert victim.reason == Killed()
    assert bystander.event.wait(5)  # two did not trap: its end goes on to the next
    assert bystander.reason == Killed()


async def test_an_exit_signal_sent_by_hand_follows_the_same_rules(system):
    plain, trapping = system.spawn(Inline), system.spawn(Inline, True)
    send_exit(plain, Normal())
    send_exit(trapping, Shutdown("deploy"), sender=plain)
    await settle(system)
    assert plain.is_alive()
    assert await trapping.ask(lambda self: self.got, block=False) == [
        ExitSignal(plain, Shutdown("deploy"))
    ]
    end = Ended(plain)
    send_exit(plain, Shutdown("deploy"))
    await settle(system)
    assert end.reason == Shutdown("deploy")
    send_exit(plain, Shutdown("late"))  # the dead are left alone


async def test_what_is_no_exit_reason_is_refused(system):
    ref = system.spawn(Inline)
    with pytest.raises(ConfigError, match="reason must be an ExitReason"):
        send_exit(ref, "shutdown")
    with pytest.raises(ConfigError, match="reason must be an ExitReason"):
        kill(ref, Killed)
    with pytest.raises(ConfigError, match="reason must be an ExitReason"):
        await ref.ask(lambda self: self.exit("shutdown"), block=False)
    assert ref.is_alive()


async def test_an_exception_as_a_reason_is_the_crash_by_it(system):
    for end in (send_exit, kill, lambda ref, error: ref.tell(lambda self: self.exit(error))):
        ref, error = system.spawn(Inline), ValueError("mine")
        seen = Ended(ref)
        end(ref, error)
        await settle(system)
        assert isinstance(seen.reason, Crash)
        assert seen.reason.error is error


async def test_a_signal_comes_behind_what_the_linked_actor_sent_before(system):
    one, two = system.spawn(Inline, True), system.spawn(Inline)
    one.tell(lambda self: self.link(two))

    def say_and_go(self):
        one.tell("word")
        self.exit()

    two.tell(say_and_go)
    await settle(system)
    assert await one.ask(lambda self: self.got, block=False) == [
        "word",
        ExitSignal(two, Normal()),
    ]


async def test_an_actor_may_begin_to_trap_at_any_time(system):
    one, two = system.spawn(Inline), system.spawn(Inline)

    def trap(self):
        self.trap_exit = True
        self.link(two)

    one.tell(trap)
    await settle(system)
    kill(two)
    await settle(system)
    assert one.is_alive()


@every_pair
def test_spawn_link_links_before_the_start(threaded, kind, other):
    class Stillborn(other):
        pass

    if other is Async:

        async def on_start(self):
            raise ValueError("stillborn")
    else:

        def on_start(self):
            raise ValueError("stillborn")

    broken = type("Broken", (Stillborn,), {"on_start": on_start})
    one = threaded.spawn(kind)
    end = Ended(one)
    one.tell(lambda self: self.spawn_link(broken))
    assert end.event.wait(5)
    assert isinstance(end.reason, Crash)
    assert str(end.reason.error) == "stillborn"


async def test_spawn_link_passes_arguments_and_registers_the_name(system):
    one = system.spawn(Inline, True)
    two = await one.ask(lambda self: self.spawn_link(Inline, trap=True, name="two"), block=False)
    assert system.names.whereis("two") is two
    assert await two.ask(lambda self: self.trap_exit, block=False) is True
    kill(two)
    await settle(system)
    assert await one.ask(lambda self: self.got, block=False) == [ExitSignal(two, Killed())]


def test_a_long_chain_of_links_falls_whole(threaded):
    refs = [threaded.spawn(Inline) for _ in range(5_000)]
    for one, two in itertools.pairwise(refs):
        one.tell(lambda self, two=two: self.link(two))
    refs[-2].ask(lambda self: None, timeout=5)
    end = Ended(refs[-1])
    refs[0].tell(ValueError())
    assert end.event.wait(10)
    assert not any(ref.is_alive() for ref in refs)


def test_links_reach_across_systems():
    with ActorSystem("one") as first, ActorSystem("two") as second:
        one, two = first.spawn(Inline), second.spawn(Async)
        one.ask(lambda self: self.link(two), timeout=5)
        end = Ended(one)
        two.tell(ValueError())
        assert end.event.wait(5)
        assert isinstance(end.reason, Crash)


async def test_links_of_the_dead_do_not_pile_up_at_a_long_lived_peer(system):
    keeper = system.spawn(Inline, True)
    for _ in range(100):
        kill(await keeper.ask(lambda self: self.spawn_link(Inline), block=False))
    await settle(system)
    assert not keeper.actor_inbox.links
    assert len(await keeper.ask(lambda self: self.got, block=False)) == 100


async def test_a_supervised_child_that_falls_by_a_link_is_restarted(system):
    from brama.actors import start_child

    child = await start_child(system.root, ChildSpec("child", Inline, name="child"))
    other = system.spawn(Inline)
    child.tell(lambda self: self.link(other))
    await settle(system)
    other.tell(ValueError())
    await settle(system)
    assert not child.is_alive()
    assert system.names.whereis("child") is not None


async def test_a_supervisor_outlives_what_is_linked_to_it(system):
    one = system.spawn(Inline)
    root = system.root
    one.tell(lambda self: self.link(root))
    one.tell(ValueError())
    await settle(system)
    assert root.is_alive()


def test_linking_and_ending_at_the_same_moment_never_loses_the_signal(threaded):
    for _ in range(300):
        one, two = threaded.spawn(Blocking), threaded.spawn(Inline)
        end = Ended(one)
        two.tell(ValueError())  # races with the link
        one.tell(lambda self, two=two: self.link(two))
        assert end.event.wait(5), "linked to the dead, and never told"
        assert isinstance(end.reason, Crash | NoProc)
