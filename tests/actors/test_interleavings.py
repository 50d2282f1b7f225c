"""Stops, kills, tells, asks and crashes from many threads at once: nobody waits for ever, and every
message is handled or a dead letter.

The schedule of the threads is the operating system's; what each of them does is seeded.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from brama.actors import (
    Actor,
    ActorDeadError,
    ActorSystem,
    BlockingActor,
    DeadLetterReason,
    InlineActor,
    MailboxFullError,
    MailboxPolicy,
    kill,
)

KINDS = {"inline": InlineActor, "async": Actor, "blocking": BlockingActor}
POLICIES = {
    "unbounded": None,
    "block": MailboxPolicy(8, "block", timeout=0.05),
    "drop_newest": MailboxPolicy(8, "drop_newest"),
    "drop_oldest": MailboxPolicy(8, "drop_oldest"),
    "coalesce": MailboxPolicy(8, "coalesce", key=lambda item: item.number % 16),
}
# As long as no answer comes within, it has never come: the whole takes milliseconds.
FOR_EVER = 30.0


class Item:
    """A message that knows its number and whether it is to be a disaster."""

    __slots__ = ("crash", "number")

    def __init__(self, number: int, crash: bool) -> None:
        self.number = number
        self.crash = crash


def counting(kind, policy):
    handled = []

    def handle(self, item):
        handled.append(item)
        if item.crash:
            raise ValueError("as told")
        return item.number

    async def handle_async(self, item):
        return handle(self, item)

    hook = handle_async if kind == "async" else handle
    cls = type("Counting", (KINDS[kind],), {"on_receive": hook, "mailbox": policy})
    return cls, handled


class Sender(threading.Thread):
    """Does ``steps`` random things to the actor, and notes what became of each."""

    def __init__(self, ref, seed: int, steps: int, deadly: bool) -> None:
        super().__init__()
        self.ref = ref
        self.random = random.Random(seed)
        self.base = seed * 10_000_000
        self.steps = steps
        self.deadly = deadly
        self.told: list[Item] = []
        self.asked: list[tuple[Item, object]] = []
        self.refused = 0

    def run(self) -> None:
        choose, ref = self.random.random, self.ref
        last = self.steps - 1
        for step in range(self.steps):
            item = Item(self.base + step, crash=self.deadly and choose() < 2 / self.steps)
            what = choose()
            if self.deadly and (what < 1 / self.steps or step == last):
                if what * self.steps < 0.5:
                    kill(ref)
                else:
                    ref.stop(block=False)
            elif what < 0.6:
                try:
                    ref.tell(item)
                    self.told.append(item)
                except ActorDeadError:
                    self.refused += 1
            else:
                self.asked.append((item, ref.ask(item, block=False)))


@contextmanager
def switching_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def interleave(system, kind, policy, seed, steps):
    """One actor under fire of four threads; returns how many interleaved operations that were."""
    cls, handled = counting(kind, policy)
    letters = []
    system.dead_letters.subscribe(letters.append)
    ref = system.spawn(cls)
    senders = [Sender(ref, seed * 4 + one + 1, steps, deadly=one == 0) for one in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(FOR_EVER)
        assert not sender.is_alive(), "a sender is held up for ever"
    assert ref.actor_stopped.wait(FOR_EVER)
    for sender in senders:
        for item, future in sender.asked:
            try:
                assert future.get(timeout=FOR_EVER) == item.number
            except (ActorDeadError, MailboxFullError, ValueError):
                pass
    end = threading.Event()
    if not ref.actor_inbox.watch(lambda _reason: end.set()):
        end.set()
    assert end.wait(FOR_EVER)
    if kind == "blocking":  # after a kill, a hook on its thread goes on
        ref.actor_inbox.thread.join(FOR_EVER)
    system.dead_letters.unsubscribe(letters.append)
    told = {item for sender in senders for item in sender.told}
    asked = {item for sender in senders for item, _ in sender.asked}
    dead = [letter.message for letter in letters if letter.reason != DeadLetterReason.LATE_REPLY]
    done = [item for item in handled if item in told]
    assert len(set(handled)) == len(handled), "handled twice"
    assert set(handled) <= told | asked
    assert len(done) + len(dead) + ref.statistics().coalesced == len(told)
    assert not set(done) & set(dead)
    return 4 * steps


@pytest.fixture(autouse=True)
def silence(caplog):
    """Thousands of crashes would only be formatted to be thrown away."""
    caplog.set_level("CRITICAL", "pykka")
    caplog.set_level("CRITICAL", "brama.actors")


@pytest.mark.requirement("actors:no-lost-replies")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_interleavings_of_each_kind_leave_no_ask_unanswered_and_no_message_unaccounted(
    kind, policy
):
    with switching_often(), ActorSystem("fuzz", stall_threshold=None) as system:
        operations, seed = 0, 0
        while operations < 10_000 / 5:
            seed += 1
            operations += interleave(system, kind, POLICIES[policy], seed, 20)


@pytest.mark.soak
@pytest.mark.requirement("actors:no-lost-replies")
@pytest.mark.requirement("actors:mailbox")
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_interleavings_leave_no_ask_unanswered_and_no_message_unaccounted(kind, policy):
    with switching_often(), ActorSystem("fuzz", stall_threshold=None) as system:
        operations, seed = 0, 1_000_000
        while operations < 1_000_000 / 15:
            seed += 1
            operations += interleave(system, kind, POLICIES[policy], seed, 50)
