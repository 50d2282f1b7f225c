"""Unique names."""

from __future__ import annotations

import pytest

from brama.actors import (
    ActorDeadError,
    ActorSystem,
    InlineActor,
    NameNotFoundError,
    NameTakenError,
    kill,
)
from brama.actors.testing import settle


class Echo(InlineActor):
    def on_receive(self, message):
        return message


@pytest.mark.requirement("actors:registry-unique")
async def test_a_name_leads_to_its_actor_until_that_ends(system):
    ref = system.spawn(Echo, name="echo")
    assert system.names.whereis("echo") is ref
    kill(ref)
    assert system.names.whereis("echo") is None
    assert len(system.names) == 1  # the root's


@pytest.mark.requirement("actors:registry-unique")
async def test_a_name_of_a_live_actor_is_refused_to_others_and_nothing_grows(system):
    holder, other = system.spawn(Echo, name="x"), system.spawn(Echo)
    before = len(system.names)
    for _ in range(1000):
        with pytest.raises(NameTakenError, match="the name 'x' belongs to Echo"):
            system.names.register("x", other)
    assert len(system.names) == before
    assert other.actor_inbox.names == ()
    system.names.register("x", holder)  # again, by its holder: nothing happens
    assert system.names.whereis("x") is holder


async def test_a_released_name_can_be_taken_and_the_old_holder_does_not_take_it_along(system):
    old, new = system.spawn(Echo, name="x"), system.spawn(Echo)
    assert system.names.unregister("x")
    assert not system.names.unregister("x")
    system.names.register("x", new)
    kill(old)
    assert system.names.whereis("x") is new


async def test_the_dead_cannot_take_a_name(system):
    ref = system.spawn(Echo)
    kill(ref)
    with pytest.raises(ActorDeadError, match="is dead"):
        system.names.register("x", ref)
    assert system.names.whereis("x") is None


@pytest.mark.requirement("actors:registry-unique")
async def test_a_via_finds_the_holder_at_each_send(system):
    via = system.names.via("x")
    first = system.spawn(Echo, name="x")
    assert await via.ask(1, block=False) == 1
    kill(first)
    with pytest.raises(NameNotFoundError, match="nobody is registered as 'x'"):
        await via.ask(2, block=False)
    second = system.spawn(Echo, name="x")
    assert via.resolve() is second
    assert await via.ask(3, block=False) == 3


async def test_a_via_can_do_what_a_ref_can(system):
    via = system.names.via("x")
    assert not via.is_alive()
    assert await via.stop(block=False) is False
    assert await via.atell("nobody") is False
    with pytest.raises(NameNotFoundError, match="nobody is registered as 'x'"):
        await via.acall("x")
    ref = system.spawn(Echo, name="x")
    assert via.is_alive()
    assert await via.atell("x") is True
    assert await via.acall("x") == "x"
    assert await via.stop(block=False) is True
    assert not ref.is_alive()


def test_a_via_is_called_from_a_plain_thread(threaded):
    via = threaded.names.via("x")
    with pytest.raises(NameNotFoundError):
        via.call("x")
    threaded.spawn(Echo, name="x")
    assert via.call("x") == "x"
    assert via.stop(timeout=5) is True
    assert via.stop() is False


@pytest.mark.requirement("actors:dead-letters")
async def test_a_tell_to_a_name_that_nobody_holds_is_a_dead_letter(system):
    before = system.dead_letters.count
    system.names.via("nobody").tell("x")
    await settle(system)
    assert system.dead_letters.count == before + 1


@pytest.mark.requirement("actors:systems")
def test_systems_have_names_of_their_own():
    with ActorSystem("one") as one, ActorSystem("two") as two:
        first, second = one.spawn(Echo, name="x"), two.spawn(Echo, name="x")
        assert one.names.whereis("x") is first
        assert two.names.whereis("x") is second


def test_a_via_gives_a_proxy_of_whoever_holds_the_name(threaded):
    class Counter(InlineActor):
        def __init__(self) -> None:
            super().__init__()
            self.number = 0

        def add(self, more: int) -> int:
            self.number += more
            return self.number

    via = threaded.names.via("counter")
    with pytest.raises(NameNotFoundError):
        via.proxy()
    threaded.spawn(Counter, name="counter")
    assert via.proxy().add(2).get(timeout=5) == 2
    assert via.proxy().number.get(timeout=5) == 2
