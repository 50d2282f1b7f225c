"""What an actor leaves unread at its end may be very much."""

from __future__ import annotations

from brama.actors import DeadLetterReason, InlineActor
from brama.actors.testing import settle
from brama.telemetry import attach, detach


class Sink(InlineActor):
    def on_receive(self, message):
        self.exit()


async def flooded(system):
    ref = system.spawn(Sink)
    for number in range(10_000):
        ref.tell(number)
    await settle(system)


async def test_ten_thousand_unread_messages_are_counted_and_announced_in_a_few_lines(
    system, caplog
):
    heard = []
    attach("test", "brama.actor.dead_letter", lambda *given: heard.append(given[1]["count"]))
    try:
        await flooded(system)
    finally:
        detach("test")
    lost = system.dead_letters.counts[DeadLetterReason.STOPPED]
    assert lost > 9_000
    assert sum(heard) == lost
    assert len(heard) == 11
    assert sum(record.name == "brama.actors" for record in caplog.records) == 10


async def test_a_subscriber_is_told_of_each_unread_message(system):
    letters = []
    system.dead_letters.subscribe(letters.append)
    await flooded(system)
    assert len(letters) == system.dead_letters.count
    assert [letter.message for letter in letters] == list(range(10_000 - len(letters), 10_000))
