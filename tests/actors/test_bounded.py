"""Actors with a limit on their mail."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
import trio

from brama.actors import (
    Actor,
    ActorDeadError,
    ActorSystem,
    BlockingActor,
    CallTimeoutError,
    ChildSpec,
    DeadLetterReason,
    Down,
    InlineActor,
    MailboxFullError,
    MailboxPolicy,
    kill,
)
from brama.actors.testing import running, settle
from brama.telemetry import ConfigError

KINDS = {"inline": InlineActor, "async": Actor, "blocking": BlockingActor}


def recorder(kind, policy):
    """A class of that kind that keeps what it is told, and the list that it keeps it in."""
    got = []

    async def handle_async(self, message):
        got.append(message)
        return message

    def handle(self, message):
        got.append(message)
        return message

    hook = handle_async if kind == "async" else handle
    return type("Recorder", (KINDS[kind],), {"on_receive": hook, "mailbox": policy}), got


@pytest.fixture(params=["inline", "async"])
def loop_kind(request):
    return request.param


def letters(system):
    got = []
    system.dead_letters.subscribe(got.append)
    return got


@pytest.mark.parametrize(
    ("overflow", "left", "reason"),
    [
        ("drop_newest", [0, 1, 2], DeadLetterReason.MAILBOX_FULL),
        ("drop_oldest", [7, 8, 9], DeadLetterReason.EVICTED),
    ],
)
async def test_a_full_mailbox_drops_and_each_dropped_message_is_a_dead_letter(
    system, loop_kind, overflow, left, reason
):
    cls, got = recorder(loop_kind, MailboxPolicy(3, overflow))
    ref, dead = system.spawn(cls), letters(system)
    for message in range(10):
        ref.tell(message)
    assert ref.statistics().length == 3
    await settle(system)
    assert got == left
    assert sorted(letter.message for letter in dead) == sorted(set(range(10)) - set(left))
    assert {letter.reason for letter in dead} == {reason}
    assert {letter.target for letter in dead} == {ref}
    figures = ref.statistics()
    assert (figures.handled, figures.dropped, figures.peak, figures.limit) == (3, 7, 3, 3)


async def test_coalescing_delivers_the_latest_of_each_key_in_the_place_of_the_first(
    system, loop_kind
):
    cls, got = recorder(loop_kind, MailboxPolicy(10, "coalesce", key=lambda pair: pair[0]))
    ref, dead = system.spawn(cls), letters(system)
    for number in range(5):
        ref.tell(("a", number))
        ref.tell(("b", number))
    await settle(system)
    assert got == [("a", 4), ("b", 4)]
    assert dead == []
    assert ref.statistics().coalesced == 8


async def test_a_key_that_raises_does_not_reach_the_sender(system, caplog):
    cls, got = recorder("inline", MailboxPolicy(3, "coalesce", key=lambda message: message.key))
    ref = system.spawn(cls)
    ref.tell(1)
    ref.tell(2)
    await settle(system)
    assert got == [1, 2]
    assert "the key of a mailbox policy failed" in caplog.text


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest"])
async def test_a_dropped_request_fails_at_once_with_a_clear_error(system, loop_kind, overflow):
    cls, _ = recorder(loop_kind, MailboxPolicy(1, overflow))
    ref, dead = system.spawn(cls), letters(system)
    futures = [ref.ask(number, block=False) for number in range(2)]
    dropped, kept = reversed(futures) if overflow == "drop_newest" else futures
    with pytest.raises(MailboxFullError, match=r"is full \(1 messages\)"):
        dropped.get(timeout=0)
    assert await kept in (0, 1)
    assert dead == []  # its sender knows


async def test_stops_exits_and_downs_pass_a_full_mailbox_and_are_never_given_up(system, loop_kind):
    cls, got = recorder(loop_kind, MailboxPolicy(1, "drop_oldest"))
    other = system.spawn(recorder("inline", None)[0])
    ref = system.spawn(cls)
    await settle(system)
    ref._actor_weakref().monitor(other)
    kill(other)
    for number in range(5):
        ref.tell(number)
    stopped = ref.stop(block=False)
    ref.tell("after")
    await settle(system)
    assert await stopped is True
    assert [type(message) for message in got] == [Down] + [type(got[-1])] * (len(got) - 1)
    assert len(got) <= 2


async def test_control_mail_is_not_limited(system):
    cls, got = recorder("inline", MailboxPolicy(1))
    ref = system.spawn(cls)
    for number in range(5):
        ref.actor_inbox.send_control(number)
    await settle(system)
    assert got == [0, 1, 2, 3, 4]


async def test_the_policy_of_a_child_spec_overrides_that_of_the_class():
    cls, _ = recorder("inline", MailboxPolicy(1))
    specs = [
        ChildSpec("wide", cls, mailbox=MailboxPolicy(7)),
        ChildSpec("open", cls, mailbox=MailboxPolicy(None)),
        ChildSpec("own", cls),
    ]
    async with running(ActorSystem("policies", children=specs)) as system:
        limits = {info.id: info.ref.statistics().limit for info in await which(system)}
    assert limits == {"wide": 7, "open": None, "own": 1}


async def which(system):
    from brama.actors import which_children

    return await which_children(system.root)


def test_a_policy_of_the_wrong_type_is_refused_where_it_is_given():
    with pytest.raises(ConfigError, match=r"Wrong\.mailbox must be a MailboxPolicy"):
        type("Wrong", (InlineActor,), {"mailbox": 100})
    with pytest.raises(ConfigError, match=r"ChildSpec\.mailbox must be a MailboxPolicy"):
        ChildSpec("x", InlineActor, mailbox=100)


async def test_on_a_loop_a_blocking_policy_drops_instead_of_holding_the_loop(system):
    cls, got = recorder("inline", MailboxPolicy(2, "block"))
    ref, dead = system.spawn(cls), letters(system)
    for number in range(4):
        ref.tell(number)
    assert [letter.message for letter in dead] == [2, 3]
    await settle(system)
    assert got == [0, 1]


async def test_atell_waits_for_room_and_holds_up_nobody_else(system, loop_kind):
    cls, got = recorder(loop_kind, MailboxPolicy(2, "block"))
    ref = system.spawn(cls)
    sent = [await ref.atell(number) for number in range(20)]
    await settle(system)
    assert sent == [True] * 20
    assert got == list(range(20))
    assert ref.statistics().peak == 2


async def test_atell_gives_up_after_its_time_and_the_message_is_a_dead_letter(
    system, autojump_clock
):
    gate = trio.Event()

    class Stuck(Actor):
        mailbox = MailboxPolicy(1, "block")

        async def on_receive(self, message):
            await gate.wait()

    ref, dead = system.spawn(Stuck), letters(system)
    ref.tell("handled")
    await trio.testing.wait_all_tasks_blocked()
    ref.tell("waiting")
    began = trio.current_time()
    # The policy's patience is a matter of the caller's own loop, not of its clock: see `atell`.
    assert await ref.atell("late", timeout=0.05) is False
    assert trio.current_time() - began < 1
    assert [letter.message for letter in dead] == ["late"]
    gate.set()


async def test_those_who_wait_for_room_learn_of_the_actors_end(system):
    gate = trio.Event()

    class Stuck(Actor):
        mailbox = MailboxPolicy(1, "block")

        async def on_receive(self, message):
            await gate.wait()

    ref = system.spawn(Stuck)
    ref.tell(1)
    await trio.testing.wait_all_tasks_blocked()
    ref.tell(2)
    async with trio.open_nursery() as nursery:

        async def wait():
            with pytest.raises(ActorDeadError):
                await ref.atell(3)

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        kill(ref)


def test_a_plain_thread_waits_for_room_and_nothing_is_lost(threaded):
    got = []

    class Slow(BlockingActor):
        mailbox = MailboxPolicy(4, "block")

        def on_receive(self, message):
            got.append(message)

    ref = threaded.spawn(Slow)

    def send(base):
        for number in range(200):
            ref.tell(base + number)

    senders = [threading.Thread(target=send, args=(base,)) for base in (0, 1000, 2000)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(10)
    ref.stop(timeout=5)
    assert len(got) == 600
    for base in (0, 1000, 2000):
        assert [one for one in got if base <= one < base + 1000] == list(range(base, base + 200))
    assert ref.statistics().peak <= 4 + 1  # and the stop, which does not count
    assert threaded.dead_letters.count == 0


def held(threaded, **options):
    """A blocking actor that handles one message until released, with another one waiting."""
    gate, inside = threading.Event(), threading.Event()

    class Held(BlockingActor):
        mailbox = MailboxPolicy(1, "block", **options)

        def on_receive(self, message):
            inside.set()
            gate.wait(10)
            return message

    ref = threaded.spawn(Held)
    ref.tell("handled")
    inside.wait(5)
    ref.tell("waiting")
    return ref, gate


def test_a_plain_thread_waits_no_longer_than_the_policy_says(threaded):
    ref, gate = held(threaded, timeout=0.02)
    dead = letters(threaded)
    ref.tell("dropped")
    assert [letter.message for letter in dead] == ["dropped"]
    gate.set()


def test_a_request_waits_for_room_no_longer_than_for_its_reply(threaded):
    ref, gate = held(threaded, timeout=None)
    with pytest.raises((MailboxFullError, CallTimeoutError)):
        ref.call("question", timeout=0.02)
    gate.set()


def test_a_thread_that_waits_for_room_is_woken_by_the_actors_end(threaded):
    ref, gate = held(threaded, timeout=None)
    outcome = []

    def send():
        try:
            ref.tell("never")
        except ActorDeadError:
            outcome.append("dead")

    sender = threading.Thread(target=send)
    sender.start()
    while not ref.actor_inbox._bound.waiting:
        pass
    kill(ref)
    sender.join(5)
    assert outcome == ["dead"]
    gate.set()


def test_a_blocking_actor_does_not_wait_for_room_that_it_would_have_to_make(threaded):
    class Talkative(BlockingActor):
        mailbox = MailboxPolicy(1, "block", timeout=None)

        def on_receive(self, message):
            if message == "go":
                for number in range(3):
                    self.actor_ref.tell(number)
            return message

    ref = threaded.spawn(Talkative)
    assert ref.call("go") == "go"
    assert threaded.dead_letters.counts == {DeadLetterReason.MAILBOX_FULL: 2}


@pytest.mark.parametrize("overflow", ["block", "drop_newest", "drop_oldest", "coalesce"])
@pytest.mark.parametrize("kind", KINDS)
def test_of_many_senders_every_message_is_handled_dropped_or_replaced(threaded, kind, overflow):
    key = (lambda pair: pair[0]) if overflow == "coalesce" else None
    cls, got = recorder(kind, MailboxPolicy(8, overflow, key=key))
    ref = threaded.spawn(cls)
    dead = letters(threaded)

    def send(sender):
        for number in range(200):
            ref.tell(((sender + number) % 12, sender, number))

    senders = [threading.Thread(target=send, args=(one,)) for one in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(10)
    ref.stop(timeout=5)
    figures = ref.statistics()
    assert len(got) + len(dead) + figures.coalesced == 800
    assert figures.dropped == len(dead)
    assert max(Counter(got).values()) == 1
    if overflow == "block":
        assert len(got) == 800


async def test_atell_keeps_its_place_when_another_takes_the_room_it_was_given(system):
    class Reader(Actor):
        mailbox = MailboxPolicy(1, "block")

        async def on_receive(self, message):
            got.append(message)
            if message == 1:
                self.actor_ref.tell("barges in")
            await steps.receive()

    got: list[object] = []
    step, steps = trio.open_memory_channel[None](10)
    ref = system.spawn(Reader)
    ref.tell(0)
    await trio.testing.wait_all_tasks_blocked()
    ref.tell(1)
    async with trio.open_nursery() as nursery:
        for late in (2, 3):
            nursery.start_soon(ref.atell, late)
            await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            step.send_nowait(None)
            await trio.testing.wait_all_tasks_blocked()
    assert got == [0, 1, "barges in", 2, 3]
