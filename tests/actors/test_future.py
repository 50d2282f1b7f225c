"""One future for threads, asyncio and trio."""

from __future__ import annotations

import asyncio
import queue
import threading

import pykka
import pytest
import trio

from brama.actors import Actor, ActorDeadError, Future, InlineActor, WouldBlockError, kill


class Echo(InlineActor):
    def on_receive(self, message):
        return message


class Slow(Actor):
    async def on_receive(self, message):
        await trio.sleep(message)
        return "done"


@pytest.mark.requirement("actors:awaitable-replies")
def test_a_thread_gets_what_another_thread_sets():
    future = Future()
    threading.Timer(0.01, future.set, ("late",)).start()
    assert future.get(timeout=5) == "late"


@pytest.mark.requirement("actors:awaitable-replies")
def test_asyncio_awaits_a_reply_while_its_loop_goes_on(threaded):
    slow = threaded.spawn(Slow)

    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticker = asyncio.ensure_future(tick())
        reply = await slow.ask(0.05, block=False)
        ticker.cancel()
        return reply, ticks

    reply, ticks = asyncio.run(main())
    assert reply == "done"
    assert ticks > 3


@pytest.mark.requirement("actors:awaitable-replies")
async def test_trio_awaits_a_reply_on_the_same_loop(system, autojump_clock):
    assert await system.spawn(Slow).ask(30, block=False) == "done"


@pytest.mark.requirement("actors:awaitable-replies")
async def test_another_trio_loop_awaits_a_reply():
    from brama.actors import ActorSystem

    system = ActorSystem("elsewhere")
    await trio.to_thread.run_sync(system.start)
    try:
        assert await system.spawn(Echo).ask("hi", block=False) == "hi"
        assert await system.spawn(Slow).ask(0.01, block=False).map(str.upper) == "DONE"
    finally:
        await trio.to_thread.run_sync(system.stop)


@pytest.mark.requirement("actors:awaitable-replies")
async def test_a_cancelled_wait_leaves_the_future_to_others(system, autojump_clock):
    reply = system.spawn(Slow).ask(10, block=False)
    with trio.move_on_after(1) as scope:
        await reply
    assert scope.cancelled_caught
    assert await reply == "done"


async def test_a_cancelled_asyncio_wait_leaves_the_future_to_others():
    future = Future()

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(_await(future), 0.01)
        asyncio.get_running_loop().call_later(0.01, future.set, 1)
        return await future

    assert await trio.to_thread.run_sync(asyncio.run, main()) == 1


async def _await(future):
    return await future


async def test_a_stop_future_can_be_awaited(system, autojump_clock):
    ref = system.spawn(Echo)
    assert await ref.stop(block=False) is True
    assert await ref.stop(block=False) is False


async def test_derived_futures_can_be_awaited_before_their_sources_are_there(
    system, autojump_clock
):
    one, two = Future(), Future()
    joined = one.join(two).map(sum)
    mapped = one.map(lambda value: value + 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_later, one, 1)
        nursery.start_soon(_set_later, two, 2)
        assert await joined == 3
        assert await mapped == 2


async def _set_later(future, value):
    await trio.sleep(value)
    future.set(value)


async def test_an_error_reaches_the_one_who_awaits_a_derived_future(system, autojump_clock):
    future = Future()
    future.fail(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await future.map(str)


async def test_a_hook_that_may_block_is_awaited_on_a_thread():
    future, gate = Future(), threading.Event()
    future.set_get_hook(lambda timeout: gate.wait(5) and "opened")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, gate.set)
        assert await future == "opened"


@pytest.mark.requirement("actors:call-semantics")
def test_a_blocking_wait_on_the_loop_thread_is_refused_at_once(threaded):
    class Nested(InlineActor):
        def on_receive(self, message):
            return message.ask("hi", timeout=5)

    with pytest.raises(WouldBlockError, match="could never be answered"):
        threaded.spawn(Nested).ask(threaded.spawn(Echo), timeout=5)


def test_a_zero_timeout_on_the_loop_thread_is_a_timeout_and_no_error_of_use(threaded):
    class Peek(InlineActor):
        def on_receive(self, message):
            return Future().get(timeout=0)

    with pytest.raises(pykka.Timeout):
        threaded.spawn(Peek).ask(1, timeout=5)


def test_the_first_result_wins():
    future = Future()
    assert future.resolve(1)
    assert not future.resolve(2)
    assert not future.fail(ValueError())
    with pytest.raises(queue.Full):
        future.set(3)
    assert future.get() == 1


def test_repeated_gets_do_not_pile_up_frames():
    future = Future()
    future.fail(ValueError())
    depths = []
    for _ in range(3):
        try:
            future.get()
        except ValueError as error:
            depths.append(_depth(error.__traceback__))
    assert depths[0] == depths[2]


def _depth(traceback):
    depth = 0
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    return depth


@pytest.mark.requirement("actors:no-lost-replies")
async def test_an_ask_that_is_being_handled_fails_when_its_actor_is_killed(system, autojump_clock):
    ref = system.spawn(Slow)
    reply = ref.ask(1000, block=False)
    await trio.sleep(1)
    kill(ref)
    with pytest.raises(ActorDeadError, match="while handling"):
        await reply


@pytest.mark.requirement("actors:no-lost-replies")
async def test_asks_behind_the_last_message_fail_when_the_actor_stops(system, autojump_clock):
    ref = system.spawn(Slow)
    first, stop, second = ref.ask(1, block=False), ref.stop(block=False), ref.ask(1, block=False)
    assert await first == "done"
    with pytest.raises(ActorDeadError, match="stopped before handling the message"):
        await second
    assert await stop is True


@pytest.mark.requirement("actors:no-lost-replies")
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("bare")])
async def test_an_ask_whose_handler_raises_a_base_exception_is_answered(
    system, autojump_clock, error
):
    class Fatal(Actor):
        async def on_receive(self, message):
            raise message

    class FatalInline(InlineActor):
        def on_receive(self, message):
            raise message

    for cls in (Fatal, FatalInline):
        ref = system.spawn(cls)
        with pytest.raises(type(error)):
            await ref.ask(error, block=False)
        assert not ref.is_alive()


@pytest.mark.requirement("actors:no-lost-replies")
def test_every_ask_ends_while_threads_ask_and_stop_and_kill(threaded):
    asked, ended = 0, 0
    for round_ in range(100):
        ref = threaded.spawn(Echo)
        futures = []

        def ask(ref=ref, futures=futures):
            for item in range(50):
                futures.append(ref.ask(item, block=False))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        kill(ref) if round_ % 2 else ref.stop(block=False)
        for thread in threads:
            thread.join()
        asked += len(futures)
        for future in futures:
            try:
                future.get(timeout=5)
            except ActorDeadError:
                pass
            ended += 1
    assert asked == ended == 10_000
