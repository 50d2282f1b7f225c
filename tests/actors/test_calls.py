"""Requests with a limit, late replies, deferred replies, and what is continued."""

from __future__ import annotations

import asyncio
import threading
import time

import pykka
import pytest
import trio

from brama.actors import (
    Actor,
    ActorDeadError,
    BlockingActor,
    CallTimeoutError,
    DeadLetterReason,
    InlineActor,
    WouldBlockError,
    kill,
)
from brama.actors.testing import settle


class Echo(InlineActor):
    def on_receive(self, message):
        return message


class Slow(BlockingActor):
    """Answers when it is allowed to."""

    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def on_receive(self, message):
        self.gate.wait(10)
        return message


def until(condition, patience=5.0):
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.requirement("actors:call-semantics")
def test_a_call_returns_the_reply(threaded):
    assert threaded.spawn(Echo).call("ping") == "ping"


@pytest.mark.requirement("actors:call-semantics")
def test_a_call_has_five_seconds_unless_told_otherwise():
    import inspect

    from brama.actors import ActorRef

    for method in (ActorRef.call, ActorRef.acall):
        assert inspect.signature(method).parameters["timeout"].default == 5.0


@pytest.mark.requirement("actors:call-semantics")
@pytest.mark.parametrize("verb", ["call", "ask"])
def test_a_reply_that_comes_too_late_is_dropped_and_counted(threaded, verb):
    gate = threading.Event()
    ref = threaded.spawn(Slow, gate)
    letters = []
    threaded.dead_letters.subscribe(letters.append)
    with pytest.raises(CallTimeoutError, match=r"Slow .* gave no answer within 0.01 s"):
        getattr(ref, verb)("question", timeout=0.01)
    gate.set()
    until(lambda: letters)
    assert (letters[0].reason, letters[0].message) == (DeadLetterReason.LATE_REPLY, "question")
    assert threaded.dead_letters.counts == {DeadLetterReason.LATE_REPLY: 1}
    assert ref.call("next") == "next"


def test_a_timeout_of_a_call_is_pykkas_and_pythons(threaded):
    gate = threading.Event()
    ref = threaded.spawn(Slow, gate)
    for kind in (pykka.Timeout, TimeoutError):
        with pytest.raises(kind):
            ref.call(1, timeout=0)
    gate.set()


def test_an_answer_that_was_only_polled_for_may_still_be_fetched(threaded):
    gate = threading.Event()
    future = threaded.spawn(Slow, gate).ask("question", block=False)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.01)
    gate.set()
    assert future.get(timeout=5) == "question"
    assert threaded.dead_letters.count == 0


@pytest.mark.requirement("actors:call-semantics")
def test_a_call_of_a_dead_actor_fails_at_once(threaded):
    ref = threaded.spawn(Echo)
    ref.stop(timeout=5)
    with pytest.raises(ActorDeadError, match="not found"):
        ref.call(1, timeout=None)


@pytest.mark.requirement("actors:call-semantics")
@pytest.mark.parametrize("way", ["kill", "stop"])
def test_the_death_of_the_target_fails_the_calls_that_wait(threaded, way):
    gate = threading.Event()
    ref = threaded.spawn(Slow, gate)
    errors = []

    def ask():
        try:
            ref.call("question", timeout=None)
        except ActorDeadError as error:
            errors.append(error)

    ref.tell("holds it up")
    until(lambda: ref.statistics().handled == 1)
    if way == "stop":
        ref.stop(block=False)
    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    until(lambda: ref.statistics().length >= 3)
    if way == "kill":
        kill(ref)
    else:
        gate.set()
    for caller in callers:
        caller.join(5)
    assert len(errors) == 3
    gate.set()


@pytest.mark.requirement("actors:call-semantics")
@pytest.mark.parametrize("base", [InlineActor, Actor])
def test_a_call_on_the_loop_is_refused_and_nothing_is_sent(threaded, base):
    echo = threaded.spawn(Echo)

    def call(self, message):
        return echo.call("never sent")

    async def call_async(self, message):
        return echo.call("never sent")

    caller = threaded.spawn(
        type("Caller", (base,), {"on_receive": call_async if base is Actor else call})
    )
    with pytest.raises(WouldBlockError, match="acall"):
        caller.call(1)
    assert echo.statistics().handled == 0


def test_a_blocking_actor_that_calls_itself_is_told_so(threaded):
    class Narcissus(BlockingActor):
        def on_receive(self, message):
            return self.actor_ref.call("me?", timeout=None)

    with pytest.raises(WouldBlockError):
        threaded.spawn(Narcissus).call(1)


@pytest.mark.requirement("actors:call-semantics")
async def test_an_actor_calls_another_without_blocking(system, autojump_clock):
    class Sleeper(Actor):
        async def on_receive(self, message):
            await trio.sleep(message)
            return message

    class Caller(Actor):
        async def on_receive(self, seconds):
            return await sleeper.acall(seconds)

    sleeper, caller = system.spawn(Sleeper), system.spawn(Caller)
    assert await caller.acall(3) == 3
    began = trio.current_time()
    with pytest.raises(CallTimeoutError):
        await caller.acall(60, timeout=4)  # and a second later the caller's own call gives up
    assert trio.current_time() - began == pytest.approx(4, abs=0.1)
    await trio.sleep(60)
    assert system.dead_letters.counts == {DeadLetterReason.LATE_REPLY: 2}


async def test_a_cancelled_call_stops_waiting_and_its_reply_is_late(system, autojump_clock):
    class Sleeper(Actor):
        async def on_receive(self, message):
            await trio.sleep(2)

    ref = system.spawn(Sleeper)
    with trio.move_on_after(1) as scope:
        await ref.acall("question")
    assert scope.cancelled_caught
    await trio.sleep(2)
    assert system.dead_letters.counts == {DeadLetterReason.LATE_REPLY: 1}


def test_a_call_is_awaited_on_asyncio_with_its_timeout(threaded):
    gate = threading.Event()
    ref, echo = threaded.spawn(Slow, gate), threaded.spawn(Echo)

    async def main():
        assert await echo.acall("ping") == "ping"
        beats = 0

        async def beat():
            nonlocal beats
            while True:
                await asyncio.sleep(0.001)
                beats += 1

        task = asyncio.create_task(beat())
        with pytest.raises(CallTimeoutError):
            await ref.acall("question", timeout=0.05)
        task.cancel()
        assert beats > 5

    asyncio.run(main())
    gate.set()


@pytest.mark.parametrize("base", [InlineActor, Actor, BlockingActor])
def test_a_deferred_reply_is_given_later_and_the_next_message_is_handled_meanwhile(threaded, base):
    held = []

    def handle(self, message):
        if message == "later":
            held.append(self.defer_reply())
            return "not the reply"
        return message

    async def handle_async(self, message):
        return handle(self, message)

    cls = type("Deferring", (base,), {"on_receive": handle_async if base is Actor else handle})
    ref = threaded.spawn(cls)
    later = ref.ask("later", block=False)
    assert ref.call("now") == "now"
    assert not later.done()
    assert held[0].set("the reply") is True
    assert later.get(timeout=0) == "the reply"
    assert held[0].set("again") is False
    assert held[0].fail(ValueError()) is False


def test_a_deferred_reply_may_be_an_error(threaded):
    held = []

    class Deferring(InlineActor):
        def on_receive(self, message):
            held.append(self.defer_reply())

    future = threaded.spawn(Deferring).ask(1, block=False)
    until(lambda: held)
    held[0].fail(ValueError("mine"))
    with pytest.raises(ValueError, match="mine"):
        future.get(timeout=0)


@pytest.mark.requirement("actors:no-lost-replies")
@pytest.mark.parametrize("way", ["kill", "stop", "crash"])
async def test_an_actor_that_ends_fails_the_replies_that_it_owes(system, way):
    held = []

    class Deferring(InlineActor):
        def on_receive(self, message):
            if message == "crash":
                raise ValueError
            held.append(self.defer_reply())

    ref = system.spawn(Deferring)
    future = ref.ask(1, block=False)
    await settle(system)
    if way == "kill":
        kill(ref)
    elif way == "stop":
        await ref.stop(block=False)
    else:
        ref.tell("crash")
        await settle(system)
    with pytest.raises(ActorDeadError, match="owed the reply"):
        await future
    assert held[0].set("too late") is False


async def test_a_reply_that_is_deferred_outside_of_a_request_goes_nowhere(system):
    held = []

    class Deferring(InlineActor):
        def on_receive(self, message):
            held.append(self.defer_reply())

    system.spawn(Deferring).tell(1)
    await settle(system)
    assert held[0].set("x") is False


@pytest.mark.parametrize("base", [InlineActor, Actor, BlockingActor])
def test_what_is_continued_comes_before_any_message_that_waits(threaded, base):
    got = []

    def on_start(self):
        self.continue_with("the rest of the start")

    def on_receive(self, message):
        got.append(message)
        if message == 1:
            self.continue_with("between")

    async def on_start_async(self):
        on_start(self)

    async def on_receive_async(self, message):
        on_receive(self, message)

    hooks = (on_start_async, on_receive_async) if base is Actor else (on_start, on_receive)
    ref = threaded.spawn(
        type("Continuing", (base,), {"on_start": hooks[0], "on_receive": hooks[1]})
    )
    for number in range(3):
        ref.tell(number)
    ref.stop(timeout=5)
    assert got == ["the rest of the start", 0, 1, "between", 2]


async def test_an_actor_counts_as_started_before_what_it_continues_with(system):
    gate, got = trio.Event(), []

    class Late(Actor):
        async def on_start(self):
            self.continue_with("long")

        async def on_receive(self, message):
            if message == "long":
                await gate.wait()
            got.append(message)

    from brama.actors import ChildSpec, start_child

    ref = await start_child(system.root, ChildSpec("late", Late))
    ref.tell("early mail")
    gate.set()
    await settle(system)
    assert got == ["long", "early mail"]


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_blocking_actor_that_asks_itself_is_told_at_once_and_does_not_wait(threaded, timeout):
    class Nested(BlockingActor):
        def on_receive(self, message):
            return self.actor_ref.ask(message, timeout=timeout)

    ref = threaded.spawn(Nested)
    with pytest.raises(WouldBlockError, match="could never be answered"):
        ref.ask("hi", timeout=5)


@pytest.mark.parametrize("run", [asyncio.run, lambda call: trio.run(lambda: call)])
def test_a_blocking_actor_that_awaits_itself_in_a_loop_of_its_own_is_told_at_once(threaded, run):
    class Nested(BlockingActor):
        def on_receive(self, message):
            async def call(ref):
                return await ref.acall(message, timeout=60.0)

            assert run(call(other)) == message
            return run(call(self.actor_ref))

    other, ref = threaded.spawn(Echo), threaded.spawn(Nested)
    with pytest.raises(WouldBlockError, match="has called itself"):
        ref.ask("hi", timeout=5)
