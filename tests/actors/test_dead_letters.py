"""Messages that reach nobody: typed, counted, announced, logged at a bounded rate."""

from __future__ import annotations

import threading

import attrs
import pytest

from brama import telemetry
from brama.actors import (
    Actor,
    ActorDeadError,
    ActorSystem,
    BlockingActor,
    DeadLetter,
    DeadLetterReason,
    InlineActor,
    MailboxPolicy,
    kill,
)
from brama.actors.testing import settle
from brama.telemetry import ConfigError


class Deaf(InlineActor):
    mailbox = MailboxPolicy(1)

    def on_receive(self, message):
        pass


@pytest.fixture
def letters(system):
    got = []
    system.dead_letters.subscribe(got.append)
    return got


@pytest.fixture
def heard():
    """What the hook bus announces of dead letters."""
    got = []
    telemetry.attach("test", "brama.actor.dead_letter", lambda *occurrence: got.append(occurrence))
    yield got
    telemetry.detach("test")


@pytest.mark.requirement("actors:dead-letters")
async def test_a_dead_letter_says_what_it_was_for_whom_and_why(system, letters):
    ref = system.spawn(Deaf)
    ref.tell("kept")
    ref.tell("lost")
    (letter,) = letters
    assert isinstance(letter, DeadLetter)
    assert (letter.message, letter.target, letter.system) == ("lost", ref, "test")
    assert (letter.reason, letter.message_type) == (DeadLetterReason.MAILBOX_FULL, "str")
    assert letter.timestamp > 1e9
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        letter.message = "other"


@pytest.mark.requirement("actors:dead-letters")
async def test_dead_letters_are_counted_by_reason(system, letters):
    ref = system.spawn(Deaf)
    for number in range(3):
        ref.tell(number)
    kill(ref)
    system.names.via("nobody").tell("anyone?")
    assert system.dead_letters.counts == {"mailbox_full": 2, "stopped": 1, "no_name": 1}
    assert system.dead_letters.count == 4
    assert [letter.reason for letter in letters] == ["mailbox_full"] * 2 + ["stopped", "no_name"]


@pytest.mark.requirement("actors:dead-letters")
@pytest.mark.parametrize("base", [InlineActor, Actor, BlockingActor])
def test_the_sending_actor_is_known_where_the_letter_dies_at_its_sending(threaded, base):
    inside, release = threading.Event(), threading.Event()

    class Held(BlockingActor):
        mailbox = MailboxPolicy(1)

        def on_receive(self, message):
            inside.set()
            release.wait(5)

    deaf = threaded.spawn(Held)
    deaf.tell("handled")
    inside.wait(5)
    deaf.tell("waiting")
    got = []
    threaded.dead_letters.subscribe(got.append)

    def send(self, message):
        deaf.tell("lost")

    async def send_async(self, message):
        deaf.tell("lost")

    sender = threaded.spawn(
        type("Sender", (base,), {"on_receive": send_async if base is Actor else send})
    )
    sender.call(1)
    deaf.tell("lost, too")
    assert [letter.sender for letter in got] == [sender, None]
    release.set()


@pytest.mark.requirement("actors:dead-letters")
async def test_neither_the_log_nor_the_repr_shows_what_is_in_a_message(system, letters, caplog):
    ref = system.spawn(Deaf)
    ref.tell("fill")
    ref.tell("the password")
    assert "dead letter for Deaf" in caplog.text
    assert "the password" not in caplog.text + repr(letters[0])


async def test_how_a_message_is_shown_can_be_chosen(system, letters, caplog):
    system.dead_letters.describe = lambda message: f"<{len(message)} characters>"
    ref = system.spawn(Deaf)
    ref.tell("fill")
    ref.tell("the password")
    ref.tell(0)  # the description fails, and the type stands in
    assert [letter.text for letter in letters] == ["<12 characters>", "int"]
    assert "<12 characters>" in caplog.text


@pytest.mark.requirement("actors:dead-letters")
async def test_dead_letters_are_announced_on_the_hook_bus(system, heard):
    ref = system.spawn(Deaf)
    ref.tell("fill")
    ref.tell("lost")
    ((event, measurements, metadata, _),) = heard
    assert event == "brama.actor.dead_letter"
    assert measurements["count"] == 1
    assert metadata["actor_class"] == "Deaf"
    assert metadata["reason"] == "mailbox_full"
    assert (metadata["message"], metadata["message_type"]) == ("str", "str")
    assert metadata["system"] == "test"
    hook = next(each for each in telemetry.hook_names.HOOKS if each.name == event)
    assert set(hook.metadata) == set(metadata)
    assert set(hook.measurements) == set(measurements)


async def test_the_line_of_a_dead_letter_is_graded_and_enriched(system, caplog):
    name = telemetry.hook_names.ACTOR_DEAD_LETTER
    telemetry.provide_severity("test", name, lambda event, severity, metadata: "error")
    telemetry.enrich("test", name, lambda event, metadata: {"team": "red"})
    try:
        ref = system.spawn(Deaf)
        ref.tell("fill")
        ref.tell("lost")
    finally:
        telemetry.detach("test")
    (record,) = [each for each in caplog.records if "dead letter" in each.getMessage()]
    assert record.levelname == "ERROR"
    assert record.getMessage().endswith("[team=red]")


async def test_an_actor_can_subscribe_and_its_end_ends_the_subscription(system, caplog):
    got = []

    class Undertaker(InlineActor):
        def on_receive(self, letter):
            got.append(letter.message)

    undertaker, deaf = system.spawn(Undertaker), system.spawn(Deaf)
    system.dead_letters.subscribe(undertaker.tell)
    deaf.tell("fill")
    deaf.tell("lost")
    await settle(system)
    assert got == ["lost"]
    kill(undertaker)
    deaf.tell("fill")
    deaf.tell("lost")
    assert "a subscriber of dead letters failed and was removed" in caplog.text
    assert not system.dead_letters.unsubscribe(undertaker.tell)


async def test_a_letter_about_a_letter_is_counted_and_no_more(system):
    deaf = system.spawn(Deaf)
    system.dead_letters.subscribe(deaf.tell)
    deaf.tell("fill")
    deaf.tell("lost")
    assert system.dead_letters.counts == {"mailbox_full": 2}


async def test_a_tell_that_raised_is_no_dead_letter(system, letters):
    ref = system.spawn(Deaf)
    kill(ref)
    with pytest.raises(ActorDeadError):
        ref.tell("x")
    assert letters == []


async def test_after_unsubscribing_nothing_comes(system, letters):
    assert system.dead_letters.unsubscribe(letters.append)
    system.names.via("nobody").tell(1)
    assert letters == []


@pytest.mark.requirement("actors:dead-letters")
def test_the_log_is_limited_and_counting_and_announcing_go_on(caplog):
    system = ActorSystem("noisy")
    got = []
    system.dead_letters.subscribe(got.append)
    for _ in range(50):
        system.names.via("nobody").tell("x")
    assert (system.dead_letters.count, len(got), len(caplog.messages)) == (50, 50, 10)
    assert "no more such lines for 300 s" in caplog.messages[-1]


@pytest.mark.requirement("actors:dead-letters")
async def test_a_flooded_mailbox_that_closes_announces_the_bulk_of_its_letters_as_one(
    system, heard
):
    class Flooded(InlineActor):
        pass

    ref = system.spawn(Flooded)
    for number in range(5_000):
        ref.tell(number)
    kill(ref)
    assert system.dead_letters.counts == {"stopped": 5_000}
    assert sum(measurements["count"] for _, measurements, *_ in heard) == 5_000
    assert len(heard) == 11


async def test_a_subscriber_gets_each_letter_of_a_flooded_mailbox(system, letters):
    ref = system.spawn(InlineActor)
    for number in range(500):
        ref.tell(number)
    kill(ref)
    assert [letter.message for letter in letters] == list(range(500))


def test_whoever_is_to_hear_of_dead_letters_can_be_called():
    letters = ActorSystem("deaf").dead_letters
    with pytest.raises(ConfigError, match="callback must be something to call"):
        letters.subscribe(5)
