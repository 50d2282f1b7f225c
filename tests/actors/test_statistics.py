"""What a mailbox tells about itself."""

from __future__ import annotations

import threading
import time

import pytest
import trio

from brama.actors import Actor, BlockingActor, InlineActor, MailboxPolicy, kill
from brama.actors.testing import settle

KINDS = {"inline": InlineActor, "async": Actor, "blocking": BlockingActor}


def quiet(kind, **members):
    async def handle_async(self, message):
        pass

    def handle(self, message):
        pass

    hook = handle_async if kind == "async" else handle
    return type("Quiet", (KINDS[kind],), {"on_receive": hook, **members})


@pytest.mark.requirement("actors:mailbox")
@pytest.mark.parametrize("policy", [None, MailboxPolicy(100)])
@pytest.mark.parametrize("kind", ["inline", "async"])
async def test_length_peak_and_handled_are_exact(system, kind, policy):
    ref = system.spawn(quiet(kind, mailbox=policy))
    before = ref.statistics()
    assert (before.length, before.handled, before.oldest_age, before.last_message_age) == (
        0,
        0,
        None,
        None,
    )
    for number in range(7):
        ref.tell(number)
    ref.actor_inbox.send_control("control")
    waiting = ref.statistics()
    assert (waiting.length, waiting.control, waiting.handled, waiting.peak) == (8, 1, 0, 8)
    await settle(system)
    after = ref.statistics()
    assert (after.length, after.control, after.handled) == (0, 0, 8)
    assert after.peak >= 7
    assert after.oldest_age is None
    assert 0 <= after.last_message_age < 5
    assert 0 < after.busy < 5
    assert after.limit == (100 if policy else None)


@pytest.mark.requirement("actors:mailbox")
@pytest.mark.parametrize("policy", [None, MailboxPolicy(100)])
def test_the_oldest_age_is_that_of_what_waits_longest(threaded, policy):
    gate = threading.Event()

    class Held(BlockingActor):
        mailbox = policy

        def on_receive(self, message):
            gate.wait(5)

    ref = threaded.spawn(Held)
    ref.tell("handled")
    while not ref.statistics().handled:
        pass
    time.sleep(0.02)
    ref.tell("waiting")
    first = ref.statistics().oldest_age
    time.sleep(0.02)
    second = ref.statistics().oldest_age
    # Noted per batch: at least its own age, at most that of the batch before it.
    assert first < second < 1
    assert second >= 0.02
    if policy:
        assert first < 0.02
    assert ref.statistics().busy >= 0.04  # the hook that still runs counts
    gate.set()


def test_figures_stay_after_the_end(threaded):
    ref = threaded.spawn(quiet("inline"))
    ref.call(1)
    ref.stop(timeout=5)
    assert ref.statistics().handled == 2
    assert ref.statistics().length == 0


async def test_what_a_dying_actor_did_not_read_does_not_count_as_handled(system):
    gate = trio.Event()

    class Stuck(Actor):
        async def on_receive(self, message):
            await gate.wait()

    ref = system.spawn(Stuck)
    for number in range(5):
        ref.tell(number)
    await trio.testing.wait_all_tasks_blocked()
    assert ref.statistics().handled == 1
    kill(ref)
    await settle(system)
    assert ref.statistics().handled == 1
    assert system.dead_letters.count == 4


async def test_the_busy_time_of_an_async_actor_has_its_waiting_in_it(system):
    class Waiting(Actor):
        async def on_receive(self, message):
            await trio.sleep(0.02)

    ref = system.spawn(Waiting)
    await ref.acall(1)
    assert ref.statistics().busy >= 0.02
