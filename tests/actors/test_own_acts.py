"""What an actor does to itself, in a handler and outside of one."""

from __future__ import annotations

import threading
import time

import pytest
import trio

from brama.actors import Actor, BlockingActor, InlineActor, MailboxPolicy, Normal
from brama.actors.testing import assert_down, assert_down_blocking, settle


@pytest.mark.parametrize("base", ["spawned task", "thread"])
async def test_an_actor_at_rest_hears_of_its_own_exit(system, base):
    class Leaver(Actor):
        async def on_receive(self, message):
            if base == "thread":
                self.spawn(trio.to_thread.run_sync, self.exit)
            else:
                self.spawn(self.leave)

        async def leave(self):
            await settle_a_little()
            self.exit()

    ref = system.spawn(Leaver)
    ref.tell("go")
    await assert_down(ref, Normal)


async def test_an_actor_at_rest_goes_on_with_what_a_spawned_task_hands_it(system):
    class Eager(Actor):
        async def on_receive(self, message):
            seen.append(message)
            if message == "go":
                self.spawn(self.later)

        async def later(self):
            await settle_a_little()
            self.continue_with("later")

    seen = []
    system.spawn(Eager).tell("go")
    await settle(system)
    assert seen == ["go", "later"]


async def settle_a_little():
    for _ in range(5):
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("base", [InlineActor, Actor, BlockingActor])
def test_all_that_is_to_be_gone_on_with_is_handled_in_order_before_any_mail(threaded, base):
    def receive(self, message):
        seen.append(message)
        if message == "go":
            self.actor_ref.tell("mail")
            self.continue_with("first")
            self.continue_with("second")
        if message == "mail":
            over.set()

    async def areceive(self, message):
        return receive(self, message)

    seen, over = [], threading.Event()
    hook = areceive if base is Actor else receive
    ref = threaded.spawn(type("Eager", (base,), {"on_receive": hook}))
    ref.tell("go")
    assert over.wait(5)
    assert seen == ["go", "first", "second", "mail"]


def test_what_was_to_be_gone_on_with_is_a_dead_letter_after_the_end(threaded):
    class Torn(InlineActor):
        def on_receive(self, message):
            self.continue_with("never")
            self.exit()

    letters = []
    threaded.dead_letters.subscribe(letters.append)
    ref = threaded.spawn(Torn)
    ref.tell("go")
    assert_down_blocking(ref, Normal)
    assert [letter.message for letter in letters] == ["never"]


class Moody:
    """A key that changes its mind about what it is equal to."""

    def __init__(self, number, broken):
        self.number, self.broken = number, broken

    def __hash__(self):
        return hash(self.number)

    def __eq__(self, other):
        if self.broken:
            raise ValueError("incomparable")
        return self.number == other.number


@pytest.mark.parametrize("broken", [True, False])
def test_no_key_of_a_coalescing_mailbox_loses_a_message_or_stops_the_actor(threaded, broken):
    policy = MailboxPolicy(3, "coalesce", key=lambda message: message[0])
    held, seen = threading.Event(), []

    class Reader(BlockingActor):
        mailbox = policy

        def on_receive(self, message):
            if message[1] == "hold":
                held.wait(10)
            else:
                seen.append(message)

    ref = threaded.spawn(Reader)
    ref.tell((0, "hold"))
    while ref.statistics().length:
        time.sleep(0.001)
    keys = [Moody(1, broken), Moody(1, broken)]
    for key in keys:
        ref.tell((key, "old"))
    for key in keys:
        key.number = 2  # its hash, too: the table cannot find it any more
    ref.tell((Moody(1, False), "new"))
    held.set()
    ref.stop(timeout=5)
    figures = ref.statistics()
    assert len(seen) + figures.coalesced + figures.dropped == 3
    assert seen[-1][1] == "new"
